"""The state: locks, notes, limits and the registry, which all processes of an installation share.

Belongs here: the interface and its errors. Not here: the implementations (`file_state.py`, `postgres_state.py`), and what
the notes say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from lms_pipeline.concurrency import wait
from lms_pipeline.errors import StorageError
from lms_pipeline.storage.rate_limit import RateLimit, RateLimiter

T = TypeVar("T")

REGISTRY = "accounts.json"
"""The name of the registry in the state folder."""
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class StateError(StorageError):
    """The state can't be read or written. The same may succeed later, unless `may_pass` is false."""

    def __init__(self, sentence: str, *, may_pass: bool = True) -> None:
        super().__init__(sentence)
        self.may_pass = may_pass


class HeldError(StateError):
    """Another process holds a lock."""


class LostLockError(StateError):
    """The connection that held a lock ended: another run may hold it now. Nothing was published."""


class HeldLock(Protocol):
    """A lock while it is held."""

    def check(self, after_seconds: float = 0.0) -> None:
        """Return if the lock is still held. With `after_seconds`, it is not asked again before so many seconds.

        Raises:
            LostLockError: it is lost.
        """


@dataclass(slots=True)
class RegistryEdit:
    """The accounts of the registry, or one of them, while no other process changes them."""

    content: bytes | None
    """The JSON array of what is stored; None if there is none yet."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """What is stored at the end: the JSON of each account of the edit by its id, in order."""
    changed: Collection[str] = ()
    """The ids among them that are new or other than in `content`."""
    removed: Collection[str] = ()
    """Ids of `content` that are not stored again, or at another place in the order."""


class State(Protocol):
    """What processes share. Names are paths relative to the state folder, like `pulls/account_id=a/snapshot_date=2026-01-31`.

    All methods raise an error if the state can't be used: LakeError on a disk; StateError for a database, or SettingsError if
    LMS_STATE_URL has to be changed.
    """

    @property
    def is_local(self) -> bool:
        """Whether the files in the state folder are the state, which a person may change by hand."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Return a context in which no other process is in the same one; waits for the others."""

    def hold(self, name: str, run_id: str = "") -> AbstractContextManager[HeldLock]:
        """Return a context that holds a lock of a run, which ends with its process.

        Raises:
            HeldError: another one holds it.
        """

    def is_held(self, name: str) -> bool:
        """Return whether a process holds the lock of a run."""

    def read_note(self, name: str, consequence: str | None = None) -> bytes | None:
        """Return the content of a note; None if there is none.

        On a disk, a folder in its place is set aside if `consequence` ends the sentence about it; without one, what can't
        be read is empty.
        """

    def write_note(self, name: str, content: bytes) -> None:
        """Store a note, which is text in UTF-8, in one step."""

    def remove_note(self, name: str, consequence: str) -> None:
        """Remove a note; missing is no error. `consequence` ends the sentence about what stands in its place."""

    def set_aside_note(self, name: str, reason: str, consequence: str) -> None:
        """Keep a damaged note under another name, and log a warning."""

    def find_notes(self, pattern: str) -> Iterator[tuple[str, bytes]]:
        """Yield the notes whose names fit a pattern, in which `*` is any name of a folder, in order."""

    def remove_old(self, before: datetime) -> None:
        """Remove notes of pulls and calls that are not from this time or later. Of files, housekeeping removes them."""

    def open_limiter(self, name: str, limit: RateLimit, sleep: Callable[[float], None] = wait) -> RateLimiter:
        """Return the limiter of all processes that use the same name. The caller closes it.

        Raises:
            StateError: its file can't be used.
        """

    def describe(self, name: str) -> str:
        """Return where a note or the registry is, for people."""

    def read_registry(self, account_id: str | None = None) -> bytes | None:
        """Return the accounts of the registry as a JSON array, at least the one if its id is given; None if there are none.

        Raises:
            LmsPipelineError: the file can't be read.
        """

    def edit_registry(self, account_id: str | None = None) -> AbstractContextManager[RegistryEdit]:
        """Return a context that changes the registry, or one account of it: all of it is stored at the end, or nothing."""


def read_json_note(state: State, name: str, type_: type[T], consequence: str) -> T | None:
    """Return the content of a JSON note; None if it is missing, or damaged: then it is set aside.

    Raises:
        LakeError, StateError: the state can't be used.
    """
    content = state.read_note(name, consequence)
    if content is None:
        return None
    note = decode_note(content, type_)
    if note is None:
        state.set_aside_note(name, "it does not hold what this version writes", consequence)
    return note


def decode_note(content: bytes, type_: type[T]) -> T | None:
    """Return the content of a JSON note; None if it is damaged. The note stays: another process may replace it."""
    try:
        return msgspec.json.decode(content, type=type_)
    except _DECODE_ERRORS:
        return None
