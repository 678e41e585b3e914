"""The index of what is published: a row for each account and day, so that nobody lists the lake to find what changed.

Belongs here: what the index holds, and the interface of a store of it. Not here: the store in a file (`index_file.py`),
and how the index follows the lake (`index_sync.py`). The lake is the truth; the index can be built from it at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import AnyPartition
from lms_pipeline.lake.scan import select_signature

T = TypeVar("T")


class DamagedIndexError(LakeError):
    """The index does not hold what this version writes: it can be removed, and is built again from the lake."""

    def __init__(self, message: str, store: object = None) -> None:
        """`store` tells which store is damaged, since another process may have replaced it meanwhile."""
        super().__init__(message)
        self.store = store


@dataclass(frozen=True, slots=True)
class PublishedDay:
    """The published files of a partition: of an account and day, or of a day over all accounts."""

    partition: AnyPartition
    signatures: bytes
    """As in `DayFiles`; zeros alone if nothing is published any more."""
    run_id: str | None = None
    """The run that published the enrollments; None if there are none, or their file can't be read. So are those below."""
    digest: str | None = None
    """The digest of the enrollments."""
    rows: int | None = None
    """The number of enrollments."""
    is_complete: bool | None = None
    """Whether the enrollments are all that the LMS has."""
    strategy: str | None = None
    """The requests that found the enrollments."""
    schema_version: int | None = None
    """The schema version of the enrollments."""
    published_at: datetime | None = None
    """When the newest file was published."""
    revision: int = 0
    """The change of the index that wrote this; a later change has a larger number."""

    @property
    def is_present(self) -> bool:
        """Whether anything is published."""
        return any(self.signatures)

    def has_file(self, table: str) -> bool:
        """Return whether the table has a file."""
        return any(select_signature(self.signatures, table))

    def get_signature(self, table: str) -> bytes:
        """Return the signature of a table's file; zeros if there is none."""
        return select_signature(self.signatures, table)


@dataclass(frozen=True, slots=True)
class PendingPublication:
    """A partition in which a run may have files that are not published, or not in the index."""

    partition: AnyPartition
    owner: str
    began_at: datetime


@dataclass(frozen=True, slots=True)
class RollUp:
    """A roll-up that was written: the rows of a table and day over all accounts, in one file."""

    table: str
    day: date
    revision: int
    """The latest revision of the day that it was made from."""
    signature: bytes
    """The signature of its file; empty if no account has one, so that there is none."""
    schema_version: int
    """The schema version of its columns."""
    left_out: int
    """How many accounts it lacks because their file can't be read."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """What a reader compares with what it saw."""

    epoch: str
    """Another one for each rebuild: revisions of another epoch mean nothing."""
    revision: int
    """The latest change."""


Observe: TypeAlias = Callable[[AnyPartition, PublishedDay | None], PublishedDay]
"""Returns what is published of a partition; gets what the index holds."""


def parse_mark(text: str | None, kind: type[T]) -> T | None:
    """Parse what a reader noted as JSON; None if nothing is noted, or another version noted it: then all is compared."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return None


class PublicationIndex(Protocol):
    """A store of the index, shared by processes. Each method is one transaction.

    All methods raise DamagedIndexError if the store must be built again, and LakeError if it can't be used.
    """

    def read_state(self) -> IndexState:
        """Return the epoch and the latest revision."""

    def reset(self) -> None:
        """Begin a new epoch without days and marks. Pending publications stay."""

    def begin(self, partition: AnyPartition, owner: str) -> None:
        """Note durably that files of a partition are about to change."""

    def finish(self, partition: AnyPartition, owner: str) -> None:
        """Remove a note of `begin`."""

    def find_pending(self) -> Sequence[PendingPublication]:
        """Return all notes of `begin`."""

    def update(self, partitions: Iterable[AnyPartition], observe: Observe) -> int:
        """Store what `observe` returns for each partition; return how many differ from what was stored.

        `observe` is called while no other process can update: what it saw is not older than what is stored.
        """

    def find(
        self, *, account_id: str | None = None, day: date | None = None, since: int | None = None
    ) -> Sequence[PublishedDay]:
        """Return the published days in the order of account and day, or those of an account (`""` is all accounts) or a day.

        With `since`, return those that changed after that revision in the order of their change, also days of which
        nothing is published any more.
        """

    def find_account_days(self, table: str, account_id: str | None = None) -> Mapping[str, Sequence[date]]:
        """Return the days of which each account, or one of them, has a file of a table, in the order of account and day."""

    def find_latest_days(self, table: str) -> Mapping[str, date]:
        """Return the latest day of which each account has a file of a table, in the order of accounts."""

    def has_files(self, table: str) -> bool:
        """Return whether a table has a file."""

    def count_days(self) -> int:
        """Return the number of account-days, with the days over all accounts."""

    def find_days(self, since: int = 0) -> dict[date, int]:
        """Return the days that changed after a revision, in order, each with the revision of its latest change."""

    def find_next_accounts(self, after: str, days: int) -> Sequence[str]:
        """Return the accounts that follow one, in order, until they have so many days together; `""` is all accounts."""

    def find_schema_samples(self) -> Sequence[PublishedDay]:
        """Return one day for each schema version that any has."""

    def read_marks(self, prefix: str) -> Mapping[str, str]:
        """Return what readers noted under names with a prefix."""

    def write_marks(self, marks: Mapping[str, str | None]) -> None:
        """Store what a reader notes, by name; None removes it."""

    def find_roll_ups(self) -> Sequence[RollUp]:
        """Return the roll-ups, in the order of table and day."""

    def put_roll_ups(self, roll_ups: Iterable[RollUp]) -> None:
        """Store roll-ups that were written."""

    def remove_roll_ups(self, day: date) -> None:
        """Remove the roll-ups of a day."""
