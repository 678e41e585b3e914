"""The versions of an account's enrollments, and which of them hold at an instant.

What belongs here: histories and the choice of a version. What is served of the chosen ones is `view.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

    from lms_pipeline.sandbox.records.lines import Line

_valid_from = attrgetter("valid_from")


class Version(msgspec.Struct, gc=False, frozen=True):
    """An enrollment from one instant on; bytes as they stand in the file."""

    valid_from: datetime
    enrollment: msgspec.Raw
    raw: msgspec.Raw
    deleted: bool


class Histories:
    """All versions of an account, by enrollment, in the order in which the enrollments first appear."""

    def __init__(self) -> None:
        self._by_identity: dict[bytes, list[Version]] = {}
        self._histories: list[list[Version]] = []
        self._instants: list[datetime] = []

    def add(self, identity: bytes, line: Line) -> None:
        """Take in one more version; of two that hold from the same instant the one added last counts."""
        version = Version(line.valid_from, line.enrollment, line.raw, line.deleted)
        self._by_identity.setdefault(identity, []).append(version)

    def seal(self) -> None:
        """Bring the versions into the order of time; to be called once, when all are added."""
        self._histories = list(self._by_identity.values())
        self._by_identity = {}
        for history in self._histories:
            history.sort(key=_valid_from)
        self._instants = sorted(version.valid_from for history in self._histories for version in history)

    @property
    def first_instant(self) -> datetime:
        """When the first version begins to hold."""
        return self._instants[0]

    @property
    def last_instant(self) -> datetime:
        """When the last version begins to hold."""
        return self._instants[-1]

    def age(self, at: datetime) -> int:
        """How many versions begin before or at `at`: the same number means the same state."""
        return bisect_right(self._instants, at)

    def state(self, at: datetime) -> list[Version | None]:
        """Of each enrollment the version that holds, at the enrollment's place; None where there is none."""
        state: list[Version | None] = []
        for history in self._histories:
            count = bisect_right(history, at, key=_valid_from)
            version = history[count - 1] if count else None
            state.append(None if version is None or version.deleted else version)
        return state
