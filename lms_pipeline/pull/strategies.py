"""The strategies: which requests find the enrollments of an account.

What belongs here: their names, and the interface of those that go by pairs of learner and course. A sweep, which needs
no pairs, is `sweep.py`; each of the others has a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.transform.rosters import Entry
from lms_pipeline.truto.query import Resource

StrategyName = Literal["sweep", "roster", "learner", "pairs"]


class ListNotOfferedError(LmsPipelineError):
    """The LMS doesn't give a list that is needed."""


class NoRosterError(LmsPipelineError):
    """The details of an account don't list its enrollments."""


@dataclass(frozen=True, slots=True)
class Found:
    """Pairs that exist, or may, as one answer tells them."""

    entries: list[Entry] = field(default_factory=list)
    fetched_at: datetime | None = None
    """None where no answer told of them."""
    is_gone: bool = False
    """The course or user was listed, and wasn't there any more when it was asked for."""
    unusable: int = 0
    """Entries of the answer without an id that could be asked for."""


class PairStrategy(Protocol):
    """Finds the pairs of an account."""

    name: StrategyName
    needs: frozenset[Resource]
    """The lists without which it finds nothing."""

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[Found]:
        """The pairs, answer by answer, from the ids of the account's lists.

        Raises:
            NoRosterError: the details don't tell.
            TrutoError: no answer.
        """
        ...
