"""The index of what is published as a SQLite file in `LMS_DATA_DIR/state`, shared by the processes of one machine.

Belongs here: the file and its statements. Not here: what is stored (`index.py`), and when (`index_sync.py`).
"""

from __future__ import annotations

import atexit
import errno
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.index import DamagedIndexError, IndexState, Observe, PendingPublication, PublishedDay, RollUp
from lms_pipeline.lake.index_connection import connect, connect_read_only, lacks_space
from lms_pipeline.lake.paths import AnyPartition, DayPartition, Partition
from lms_pipeline.lake.scan import encode_tables, read_changed_ns, select_bit, sum_sizes
from lms_pipeline.storage.damaged_files import is_database_damage, is_moved_database, open_database
from lms_pipeline.storage.disk import convert_disk_errors, is_disk_full

UPDATE_BATCH = 100
"""Partitions of one transaction: other processes wait while their files are looked at."""

MAX_IDLE = 4
"""Files that stay open between two uses, of different data directories."""

_idle: dict[tuple[int, Path], IndexFile] = {}
"""Files that stay open, by process and path: a process that forks must not use those of its parent."""

_COLUMNS = (
    "account, day, signatures, run_id, digest, row_count, is_complete, strategy, schema_version, published_at, revision"
)


class IndexFile:
    """The index in a SQLite file, see `PublicationIndex`. Use it as a context manager."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file; a damaged one is set aside, and one that is missing is made.

        With `read_only`, nothing is made or changed.

        Raises:
            LakeError: it can't be opened.
        """
        self._path = path
        self._inode = 0
        with self._convert_errors():
            if read_only:
                self._file = connect_read_only(path)
                return
            with convert_disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open_database(path, connect, "it is built again from the lake")
                self._inode = path.stat().st_ino

    @classmethod
    def reuse(cls, path: Path) -> Self:
        """Return an index that this process has left open, else open it. Closing the last connection syncs the whole file.

        Raises:
            LakeError: it can't be opened.
        """
        idle = _idle.pop((os.getpid(), path), None)
        if isinstance(idle, cls) and idle.is_current():
            return idle
        if idle is not None:
            idle.close()
        return cls(path)

    def __enter__(self) -> Self:
        """Return the index."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        key = (os.getpid(), self._path)
        if kind is not None or not self._inode or key in _idle or len(_idle) >= MAX_IDLE:
            self.close()
        else:
            _idle[key] = self

    def is_current(self) -> bool:
        """Return whether the file that is open is the one with its name."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read_state(self) -> IndexState:
        """Return the epoch and the latest revision."""
        ((epoch, revision),) = self._read("SELECT epoch, revision FROM state")
        return IndexState(epoch, revision)

    def reset(self) -> None:
        """Begin a new epoch without days and marks. Pending publications stay."""
        with self._writing() as file:
            for table in ("published", "days", "roll_ups", "marks"):
                file.execute(f"DELETE FROM {table}")  # noqa: S608 (our names)
            file.execute("UPDATE state SET epoch = ?", (uuid.uuid4().hex,))

    def begin(self, partition: AnyPartition, owner: str) -> None:
        """Note durably that files of a partition are about to change."""
        row = (*_encode(partition), owner, datetime.now(UTC).isoformat())
        with self._convert_errors():
            self._file.execute("PRAGMA synchronous = FULL")  # the note outlasts a power cut, as the files do
        with self._writing() as file:
            file.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?)", row)
        with self._convert_errors():
            self._file.execute("PRAGMA synchronous = NORMAL")

    def finish(self, partition: AnyPartition, owner: str) -> None:
        """Remove a note of `begin`."""
        with self._writing() as file:
            file.execute(
                "DELETE FROM pending WHERE account = ? AND day = ? AND owner = ?", (*_encode(partition), owner)
            )

    def find_pending(self) -> Sequence[PendingPublication]:
        """Return all notes of `begin`."""
        rows = self._read("SELECT account, day, owner, began_at FROM pending ORDER BY account, day")
        return [
            PendingPublication(_decode(account, day), owner, datetime.fromisoformat(began_at))
            for account, day, owner, began_at in rows
        ]

    def update(self, partitions: Iterable[AnyPartition], observe: Observe) -> int:
        """Store what `observe` returns for each partition; return how many differ from what was stored."""
        changed, left = 0, iter(partitions)
        while batch := list(islice(left, UPDATE_BATCH)):
            with self._writing() as file:
                ((revision,),) = file.execute("SELECT revision FROM state").fetchall()
                for partition in batch:
                    stored = self._find_one(partition)
                    seen = observe(partition, stored)
                    if (stored is None and not seen.is_present) or (
                        stored is not None and stored.signatures == seen.signatures
                    ):
                        continue
                    changed, revision = changed + 1, revision + 1
                    self._put(seen, revision)
                file.execute("UPDATE state SET revision = ?", (revision,))
        return changed

    def find(
        self, *, account_id: str | None = None, day: date | None = None, since: int | None = None
    ) -> Sequence[PublishedDay]:
        """Return the published days in the order of account and day, or those that changed after a revision."""
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
        query = f"SELECT {_COLUMNS} FROM published WHERE {where} ORDER BY {order}"  # noqa: S608 (our names)
        return [_build_day(row) for row in self._read(query, values)]

    def find_account_days(self, table: str, account_id: str | None = None) -> Mapping[str, Sequence[date]]:
        """Return the days of which each account, or one of them, has a file of a table, in the order of account and day."""
        days: dict[str, list[date]] = {}
        query = "SELECT account, day FROM published WHERE tables & :bit ORDER BY account, day"
        if account_id is not None:
            query = "SELECT account, day FROM published WHERE tables & :bit AND account = :account ORDER BY day"
        for account, day in self._read(query, {"bit": select_bit(table), "account": account_id}):
            days.setdefault(account, []).append(date.fromisoformat(day))
        return days

    def find_latest_days(self, table: str) -> Mapping[str, date]:
        """Return the latest day of which each account has a file of a table, in the order of accounts."""
        query = "SELECT account, max(day) FROM published WHERE tables & ? GROUP BY account ORDER BY account"
        return {account: date.fromisoformat(day) for account, day in self._read(query, (select_bit(table),))}

    def has_files(self, table: str) -> bool:
        """Return whether a table has a file."""
        return bool(self._read("SELECT 1 FROM published WHERE tables & ? LIMIT 1", (select_bit(table),)))

    def count_days(self) -> int:
        """Return the number of account-days, with the days over all accounts."""
        ((count,),) = self._read("SELECT count(*) FROM published WHERE tables <> 0")
        return int(count)

    def find_days(self, since: int = 0) -> dict[date, int]:
        """Return the days that changed after a revision, in order, each with the revision of its latest change."""
        rows = self._read("SELECT day, revision FROM days WHERE revision > ? ORDER BY day", (since,))
        return {date.fromisoformat(day): revision for day, revision in rows}

    def find_next_accounts(self, after: str, days: int) -> Sequence[str]:
        """Return the accounts that follow one, in order, until they have so many days together; `""` is all accounts."""
        query = (
            "SELECT DISTINCT account FROM (SELECT account FROM published WHERE account > ? ORDER BY account LIMIT ?) "
            "ORDER BY account"
        )
        return [account for (account,) in self._read(query, (after, days))]

    def find_schema_samples(self) -> Sequence[PublishedDay]:
        """Return one day for each schema version that any has."""
        versions = self._read("SELECT DISTINCT schema_version FROM published WHERE schema_version IS NOT NULL")
        query = f"SELECT {_COLUMNS} FROM published WHERE schema_version = ? AND tables <> 0 LIMIT 1"  # noqa: S608 (our names)
        return [_build_day(row) for version in versions for row in self._read(query, version)]

    def read_marks(self, prefix: str) -> Mapping[str, str]:
        """Return what readers noted under names with a prefix."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return dict(self._read("SELECT name, value FROM marks WHERE name >= ? AND name < ?", (prefix, end)))

    def write_marks(self, marks: Mapping[str, str | None]) -> None:
        """Store what a reader notes, by name; None removes it."""
        if not marks:
            return
        with self._writing() as file:
            file.executemany("DELETE FROM marks WHERE name = ?", [(name,) for name in marks])
            stored = [(name, value) for name, value in marks.items() if value is not None]
            file.executemany("INSERT INTO marks VALUES (?, ?)", stored)

    def find_roll_ups(self) -> Sequence[RollUp]:
        """Return the roll-ups, in the order of table and day."""
        query = "SELECT table_name, day, revision, signature, schema_version, left_out FROM roll_ups ORDER BY table_name, day"
        return [
            RollUp(table, date.fromisoformat(day), revision, signature, schema_version, left_out)
            for table, day, revision, signature, schema_version, left_out in self._read(query)
        ]

    def put_roll_ups(self, roll_ups: Iterable[RollUp]) -> None:
        """Store roll-ups that were written."""
        rows = [
            (one.table, one.day.isoformat(), one.revision, one.signature, one.schema_version, one.left_out)
            for one in roll_ups
        ]
        with self._writing() as file:
            file.executemany("INSERT OR REPLACE INTO roll_ups VALUES (?, ?, ?, ?, ?, ?)", rows)

    def remove_roll_ups(self, day: date) -> None:
        """Remove the roll-ups of a day."""
        with self._writing() as file:
            file.execute("DELETE FROM roll_ups WHERE day = ?", (day.isoformat(),))

    def _find_one(self, partition: AnyPartition) -> PublishedDay | None:
        query = f"SELECT {_COLUMNS} FROM published WHERE account = ? AND day = ?"  # noqa: S608 (our names)
        rows = self._read(query, _encode(partition))
        return _build_day(rows[0]) if rows else None

    def _put(self, day: PublishedDay, revision: int) -> None:
        account, text = _encode(day.partition)
        row = {
            "account": account,
            "day": text,
            "revision": revision,
            "tables": encode_tables(day.signatures),
            "signatures": day.signatures,
            "run_id": day.run_id,
            "digest": day.digest,
            "row_count": day.rows,
            "byte_count": sum_sizes(day.signatures),
            "is_complete": day.is_complete,
            "strategy": day.strategy,
            "schema_version": day.schema_version,
            "published_at": _format_time(day.signatures),
        }
        names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        self._file.execute(f"INSERT OR REPLACE INTO published ({names}) VALUES ({places})", row)  # noqa: S608 (our names)
        self._file.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", (text, revision))

    def _read(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with self._convert_errors():
            return self._file.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Make the block one transaction."""
        with self._convert_errors(), self._file:  # which commits, or rolls back what raises
            self._file.execute("BEGIN IMMEDIATE")
            yield self._file

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_disk_full(error) or lacks_space(error, self._path):
                raise LakeError(
                    f"{self._path} can't be written: the disk is full; free some space and run it again."
                ) from OSError(errno.ENOSPC, "No space left on device")
            if is_database_damage(error, self._path) or is_moved_database(error):
                raise DamagedIndexError(
                    f"{self._path} is damaged ({error}): run `lms-pipeline housekeeping --rebuild-index`.", self._inode
                ) from error
            raise LakeError(
                f"{self._path} can't be used: {error}; check the disk of LMS_DATA_DIR, and who owns it."
            ) from error


@atexit.register
def _close_idle() -> None:
    """Close the files of this process."""
    for (process, _), index in list(_idle.items()):
        if process == os.getpid():
            index.close()


def _encode(partition: AnyPartition) -> tuple[str, str]:
    return partition.account_id if isinstance(partition, Partition) else "", partition.day.isoformat()


def _decode(account: str, day: str) -> AnyPartition:
    return Partition(account, date.fromisoformat(day)) if account else DayPartition(date.fromisoformat(day))


def _build_day(row: Sequence[Any]) -> PublishedDay:
    account, day, signatures, run_id, digest, rows, is_complete, strategy, schema, published_at, revision = row
    return PublishedDay(
        _decode(account, day),
        bytes(signatures),
        run_id,
        digest,
        rows,
        None if is_complete is None else bool(is_complete),
        strategy,
        schema,
        datetime.fromisoformat(published_at) if published_at else None,
        revision,
    )


def _format_time(signatures: bytes) -> str | None:
    changed_ns = read_changed_ns(signatures)
    return datetime.fromtimestamp(changed_ns / 1e9, UTC).isoformat() if changed_ns else None
