"""The index of what is published: a row for each account and day, so that nobody lists the lake to find what changed.

Belongs here: what the index holds, and its statements, which SQLite and PostgreSQL share. Not here: their connections
(`index_file.py`, `index_postgres.py`), and how the index follows the lake (`index_sync.py`). The lake is the truth; the index
can be built from it at any time.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import msgspec

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.engine import load_sql
from lms_pipeline.lake.index_statements import Statements, build_upsert
from lms_pipeline.lake.paths import AnyPartition, DayPartition, Partition
from lms_pipeline.lake.scan import encode_tables, select_bit, select_signature
from lms_pipeline.tables.catalog import TABLES

T = TypeVar("T")

UPDATE_BATCH = 100
"""Partitions of one transaction: other processes wait while their files are looked at."""

_COLUMNS = "account, day, signatures, schema_version, revision"
_OF_ROLL_UP = "revision, signature, schema_version, left_out"


class DamagedIndexError(LakeError):
    """The index does not hold what this version writes: it can be set aside, and is built again from the lake."""

    def __init__(self, message: str, set_aside: Callable[[], None]) -> None:
        """`set_aside` sets the damaged store aside, unless another process has done it: the next use makes a new one."""
        super().__init__(message)
        self.set_aside = set_aside


@dataclass(frozen=True, slots=True)
class PublishedDay:
    """The published files of a partition: of an account and day, or of a day over all accounts."""

    partition: AnyPartition
    signatures: bytes
    """As in `DayFiles`; zeros alone if nothing is published any more."""
    schema_version: int | None = None
    """The schema version of the enrollments; None if there are none, or their file can't be read."""
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


class PublicationIndex(ABC):
    """The index, shared by processes. Each method but `update` is one transaction. Use it as a context manager.

    All methods raise DamagedIndexError if the index must be built again, and LakeError or StateError if it can't be used.
    """

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Statements]:
        """Open what queries need."""

    @abstractmethod
    def _writing(self, partitions: Sequence[AnyPartition] = ()) -> AbstractContextManager[Statements]:
        """Make the block one transaction. No other process can update these partitions meanwhile."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End this use of the index."""

    def __enter__(self) -> Self:
        """Return the index."""
        return self

    def read_state(self) -> IndexState:
        """Return the epoch and the latest revision."""
        ((epoch, revision),) = self._read("SELECT epoch, revision FROM lms.index_state")
        return IndexState(epoch, revision)

    def reset(self) -> None:
        """Begin a new epoch without days and marks. Pending publications stay."""
        with self._writing() as statements:
            statements.run("UPDATE lms.index_state SET epoch = ?", (uuid.uuid4().hex,))
            for table in ("published", "published_days", "roll_ups", "index_marks"):
                statements.run(f"DELETE FROM lms.{table}", ())  # noqa: S608 (our names)

    def begin(self, partition: AnyPartition, owner: str) -> None:
        """Note durably that files of a partition are about to change."""
        upsert = build_upsert("pending_publications", "account, day, owner", "began_at")
        with self._writing() as statements:
            statements.run(upsert, (*_encode(partition), owner, datetime.now(UTC).isoformat()))

    def finish(self, partition: AnyPartition, owner: str) -> None:
        """Remove a note of `begin`."""
        delete = "DELETE FROM lms.pending_publications WHERE account = ? AND day = ? AND owner = ?"
        with self._writing() as statements:
            statements.run(delete, (*_encode(partition), owner))

    def find_pending(self) -> Sequence[PendingPublication]:
        """Return all notes of `begin`."""
        query = "SELECT account, day, owner, began_at FROM lms.pending_publications ORDER BY account, day"
        return [
            PendingPublication(_decode(account, day), owner, datetime.fromisoformat(str(began_at)))
            for account, day, owner, began_at in self._read(query)
        ]

    def update(self, partitions: Iterable[AnyPartition], observe: Observe) -> int:
        """Store what `observe` returns for each partition; return how many differ from what was stored.

        `observe` is called while no other process can update the partition: what it saw is not older than what is stored.
        """
        changed, left = 0, iter(partitions)
        while batch := list(islice(left, UPDATE_BATCH)):
            with self._writing(batch) as statements:
                different = []
                for partition in batch:
                    stored = _find_one(statements, partition)
                    seen = observe(partition, stored)
                    if seen.signatures != stored.signatures if stored is not None else seen.is_present:
                        different.append(seen)
                if different:
                    _put(statements, different)
                    changed += len(different)
        return changed

    def find(
        self, *, account_id: str | None = None, day: date | None = None, since: int | None = None
    ) -> Sequence[PublishedDay]:
        """Return the published days in the order of account and day, or those of an account (`""` is all accounts) or a day.

        With `since`, return those that changed after that revision in the order of their change, also days of which
        nothing is published any more.
        """
        conditions, values, order = ["tables <> 0"], list[Any](), "account, day"
        if since is not None:
            conditions, values, order = ["revision > ?"], [since], "revision"
        if account_id is not None:
            conditions.append("account = ?")
            values.append(account_id)
        if day is not None:
            conditions.append("day = ?")
            values.append(day.isoformat())
        where = " AND ".join(conditions)
        query = f"SELECT {_COLUMNS} FROM lms.published WHERE {where} ORDER BY {order}"  # noqa: S608 (our names)
        return [_build_day(row) for row in self._read(query, values)]

    def find_account_days(self, table: str, account_id: str | None = None) -> Mapping[str, Sequence[date]]:
        """Return the days of which each account, or one of them, has a file of a table, in the order of account and day."""
        condition = "" if account_id is None else " AND account = ?"
        query = (
            f"SELECT account, group_concat(day) FROM lms.published WHERE tables & ? <> 0{condition} GROUP BY account"  # noqa: S608 (our names)
        )
        values = [select_bit(table)] if account_id is None else [select_bit(table), account_id]
        rows = self._read(f"{query} ORDER BY account", values)
        return {account: [_parse_day(day) for day in sorted(days.split(","))] for account, days in rows}

    def find_latest_days(self, table: str) -> Mapping[str, date]:
        """Return the latest day of which each account has a file of a table, in the order of accounts."""
        rows = self._read(load_sql(__package__, "latest_days.sql"), (select_bit(table),))
        return {account: _parse_day(day) for account, day in rows if day is not None}

    def find_tables(self) -> frozenset[str]:
        """Return the tables that have a file."""
        query, bits, combination = "SELECT min(tables) FROM lms.published WHERE tables > ?", 0, 0
        with self._reading() as statements:
            while (combination := statements.read(query, (combination,))[0][0]) is not None:
                bits |= combination
        return frozenset(table for table in TABLES if bits & select_bit(table))

    def count_days(self) -> int:
        """Return the number of account-days, with the days over all accounts."""
        ((count,),) = self._read("SELECT count(*) FROM lms.published WHERE tables <> 0")
        return int(count)

    def find_days(self, since: int = 0) -> dict[date, int]:
        """Return the days that changed after a revision, in order, each with the revision of its latest change."""
        rows = self._read("SELECT day, revision FROM lms.published_days WHERE revision > ? ORDER BY day", (since,))
        return {_parse_day(day): revision for day, revision in rows}

    def find_next_accounts(self, after: str, days: int) -> Sequence[str]:
        """Return the accounts that follow one, in order, until they have so many days together; `""` is all accounts."""
        query = (
            "SELECT DISTINCT account FROM (SELECT account FROM lms.published WHERE account > ? ORDER BY account LIMIT ?) "
            "AS following ORDER BY account"
        )
        return [account for (account,) in self._read(query, (after, days))]

    def find_schema_samples(self, most: int = 1) -> Sequence[PublishedDay]:
        """Return one day for each schema version that any has, or up to `most` of each."""
        next_version = "SELECT min(schema_version) FROM lms.published WHERE schema_version > ?"
        query = f"SELECT {_COLUMNS} FROM lms.published WHERE schema_version = ? AND tables <> 0 LIMIT ?"  # noqa: S608 (our names)
        rows, version = list[Any](), -1
        with self._reading() as statements:
            while (version := statements.read(next_version, (version,))[0][0]) is not None:
                rows += statements.read(query, (version, most))
        return [_build_day(row) for row in rows]

    def read_marks(self, prefix: str) -> Mapping[str, str]:
        """Return what readers noted under names with a prefix."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return dict(self._read("SELECT name, value FROM lms.index_marks WHERE name >= ? AND name < ?", (prefix, end)))

    def write_marks(self, marks: Mapping[str, str | None]) -> None:
        """Store what a reader notes, by name; None removes it."""
        if not marks:
            return
        removed = [(name,) for name, value in sorted(marks.items()) if value is None]
        stored = [(name, value) for name, value in sorted(marks.items()) if value is not None]
        with self._writing() as statements:
            statements.run("DELETE FROM lms.index_marks WHERE name = ?", *removed)
            statements.run(build_upsert("index_marks", "name", "value"), *stored)

    def find_roll_ups(self) -> Sequence[RollUp]:
        """Return the roll-ups, in the order of table and day."""
        query = f"SELECT table_name, day, {_OF_ROLL_UP} FROM lms.roll_ups ORDER BY table_name, day"  # noqa: S608 (our names)
        return [
            RollUp(table, _parse_day(day), revision, bytes(signature), schema_version, left_out)
            for table, day, revision, signature, schema_version, left_out in self._read(query)
        ]

    def put_roll_ups(self, roll_ups: Iterable[RollUp]) -> None:
        """Store roll-ups that were written."""
        rows = [
            (one.table, one.day.isoformat(), one.revision, one.signature, one.schema_version, one.left_out)
            for one in roll_ups
        ]
        with self._writing() as statements:
            statements.run(build_upsert("roll_ups", "table_name, day", _OF_ROLL_UP), *rows)

    def remove_roll_ups(self, day: date) -> None:
        """Remove the roll-ups of a day."""
        with self._writing() as statements:
            statements.run("DELETE FROM lms.roll_ups WHERE day = ?", (day.isoformat(),))

    def _read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._reading() as statements:
            return statements.read(query, values)


def _find_one(statements: Statements, partition: AnyPartition) -> PublishedDay | None:
    query = f"SELECT {_COLUMNS} FROM lms.published WHERE account = ? AND day = ?"  # noqa: S608 (our names)
    rows = statements.read(query, _encode(partition))
    return _build_day(rows[0]) if rows else None


def _put(statements: Statements, days: Sequence[PublishedDay]) -> None:
    """Store days under the next revisions. This locks the state, so that a reader of a revision sees all earlier ones."""
    statements.run("UPDATE lms.index_state SET revision = revision + ?", (len(days),))
    ((latest,),) = statements.read("SELECT revision FROM lms.index_state")
    rows = [
        (*_encode(day.partition), day.signatures, day.schema_version, revision, encode_tables(day.signatures))
        for revision, day in enumerate(days, latest - len(days) + 1)
    ]
    others = "signatures, schema_version, revision, tables"
    statements.run(build_upsert("published", "account, day", others), *rows)
    latest_changes = {day: (day, revision) for _, day, _, _, revision, _ in rows}
    statements.run(build_upsert("published_days", "day", "revision"), *latest_changes.values())


def _encode(partition: AnyPartition) -> tuple[str, str]:
    return partition.account_id if isinstance(partition, Partition) else "", partition.day.isoformat()


def _decode(account: str, day: object) -> AnyPartition:
    return Partition(account, _parse_day(day)) if account else DayPartition(_parse_day(day))


@lru_cache(maxsize=4_096)
def _parse_day(day: object) -> date:
    """Return a day of a row: SQLite has its text. Rows of the same day share it."""
    return date.fromisoformat(str(day))


def _build_day(row: Sequence[Any]) -> PublishedDay:
    account, day, signatures, schema_version, revision = row
    return PublishedDay(_decode(account, day), bytes(signatures), schema_version, revision)
