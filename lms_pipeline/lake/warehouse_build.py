"""Writing of a build of the warehouse: a copy of the latest one that is brought up to date, or a new file.

Belongs here: what a build stores, and its repetition without files that turn out to be damaged. Not here: which files are
readable (`warehouse_days.py`), and how a build takes the place of the latest one (`warehouse.py`).
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb
import msgspec

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.commit_mark import restore_interrupted
from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.files import check_unchanged
from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.lock import LockedError, partition_lock
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.lake.scan import DayFiles, map_parallel, scan_partition
from lms_pipeline.lake.warehouse_days import Day, judge_day, read_whole, recall_day
from lms_pipeline.lake.warehouse_record import WarehouseRecord, describe_origin, load_record
from lms_pipeline.lake.warehouse_sql import (
    OLDEST_READER,
    REMOVE_ACCOUNT_DAYS,
    REMOVE_DAYS,
    build_empty_sql,
    build_select_sql,
    hash_text,
    iter_comments,
    load_trend_sql,
    quote,
)
from lms_pipeline.storage.disk import is_disk_full
from lms_pipeline.storage.local_store import sign_file
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES, STORED_TABLES, TABLES
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table

MEMORY_LIMIT = "256MB"
"""Memory of DuckDB during a build, which reads and writes one row group at a time."""
FILES_PER_QUERY = 100
"""Files of a query that fills a table: their footers are in memory at the same time."""
MAX_CHANGED_SHARE = 0.5
"""The share of changed days from which a new file is written instead of a copy."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WrittenBuild:
    """A build that is written and not published yet."""

    record: WarehouseRecord | None
    """What the next build may use; None if it uses nothing of this one."""
    rows: dict[str, int]
    """The rows of each stored table."""
    left_out: list[str]
    """Why files are left out, a sentence for each reason."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """The days whose rows a table loses, and those whose rows it gains. A replaced file is in both."""

    removed: list[AnyPartition]
    added: list[Day]


def write_build(data: DataDir, path: Path) -> WrittenBuild:
    """Write a build to `path`.

    If that fails because pages of files are damaged, it is written again without them. If the latest build can't be
    brought up to date, all is read again.

    Raises:
        LakeError, duckdb.Error, OSError: it can't be written.
        StorageError: the state can't be used.
    """
    record = load_record(data)
    days = find_days(data, record)
    if record is not None and _has_mostly_changed(record, days):
        record = None
    while True:
        try:
            return _write(data, path, days, record)
        except (LakeError, duckdb.Error, OSError) as error:
            remove_build(path)
            if is_disk_full(error):
                raise
            damaged = _find_damaged(data, days, record)
            if not damaged and record is None:
                raise
            if not damaged:
                log.warning(
                    "The latest build of the warehouse can't be brought up to date, all is read again: %s", error
                )
                record = None
            days = {folder: _leave_out(day, damaged.get(folder, {})) for folder, day in days.items()}


def remove_build(path: Path) -> None:
    """Remove a build that failed, with its write-ahead log and what it spilled."""
    for file in (path, path.with_name(f"{path.name}.wal")):
        file.unlink(missing_ok=True)
    shutil.rmtree(name_spill_folder(path), ignore_errors=True)


def find_days(
    data: DataDir,
    record: WarehouseRecord | None,
    dates: Collection[date] | None = None,
    tables: Collection[Table] = tuple(TABLES.values()),
) -> dict[str, Day]:
    """Return the days by their folder; footers are read only where a file changed, or was not readable last time.

    With `dates`, only those of these dates. Of a day that is not in the record, only `tables` are looked at.

    Raises:
        LakeError, StorageError: the index or the store can't be used.
    """
    now_ns, indexed = time.time_ns(), _read_indexed(data, dates)
    if _restore_interrupted(data, indexed.values()):
        now_ns, indexed = time.time_ns(), _read_indexed(data, dates)
    known = record.days if record is not None else {}

    def judge(files: DayFiles) -> Day:
        return judge_day(data, files, now_ns, tables)

    changed = {
        folder: files
        for folder, files in indexed.items()
        if files.has_hidden or files.signatures != known.get(folder, (b"", []))[0]
    }
    judged = dict(zip(changed, map_parallel(data, judge, changed.values()), strict=True))
    return {
        folder: judged[folder] if folder in judged else recall_day(files, known[folder][1])
        for folder, files in indexed.items()
    }


def _read_indexed(data: DataDir, dates: Collection[date] | None) -> dict[str, DayFiles]:
    """Return the published files by their folder, in the order of account and day, as the index has them."""

    def read(index: PublicationIndex) -> dict[str, DayFiles]:
        pending = {one.partition for one in index.find_pending()}
        found: dict[str, DayFiles] = {}
        chosen = index.find() if dates is None else [one for day in sorted(dates) for one in index.find(day=day)]
        for day in chosen:
            is_hidden = day.partition in pending and scan_partition(data, day.partition).has_hidden
            found[day.partition.folder.as_posix()] = DayFiles(day.partition, bytearray(day.signatures), is_hidden)
        return found

    return read_index(data, read)


def _restore_interrupted(data: DataDir, scanned: Iterable[DayFiles]) -> bool:
    """Put back files that interrupted pulls replaced; return whether there may be such files.

    A pull that is at work keeps its lock, and ends what it began.
    """
    hidden = [files.partition for files in scanned if files.has_hidden and isinstance(files.partition, Partition)]
    for partition in hidden:
        try:
            with partition_lock(data, partition):
                restore_interrupted(data, PULLED_TABLES, partition)
        except LockedError:
            pass
        except LakeError as error:  # readers use the files that were replaced
            log.warning("What an interrupted pull of %s left stays for now: %s", partition, error)
    return bool(hidden)


def _has_mostly_changed(record: WarehouseRecord, days: Mapping[str, Day]) -> bool:
    """Return whether so much has changed that a new file takes less time than a copy."""
    changes = [_compare(table, record, days) for table in STORED_TABLES]
    changed = max(max(len(change.added), len(change.removed)) for change in changes)
    return changed > MAX_CHANGED_SHARE * max(_count_account_days(days), _count_account_days(record.days))


def _count_account_days(folders: Iterable[str]) -> int:
    """Return how many partitions are of an account: the files of all accounts are few, and small."""
    return sum(folder.startswith("account_id=") for folder in folders)


def _compare(table: Table, record: WarehouseRecord | None, days: Mapping[str, Day]) -> TableChange:
    """Return what changed in a stored table since the build of the record; without one, all is added."""
    stored = record.stored.get(table.name, {}) if record is not None else {}
    chosen = _choose_stored(table, days)
    same = {folder for folder, day in chosen.items() if day.get_signature(table.name) == stored.get(folder)}
    removed = [parse_any_folder(Path(folder)) for folder in stored if folder not in same]
    return TableChange(
        [partition for partition in removed if partition is not None],
        [day for folder, day in chosen.items() if folder not in same],
    )


def _choose_stored(table: Table, days: Mapping[str, Day]) -> dict[str, Day]:
    """Return the days whose rows a table stores: of `LATEST_DAY_TABLES` only the latest one of each account."""
    readable = {folder: day for folder, day in days.items() if table.name in day.readable}
    if table not in LATEST_DAY_TABLES:
        return readable
    latest = {folder.rpartition("/")[0]: folder for folder in readable}  # a path takes half of the time of a build
    return {folder: readable[folder] for folder in latest.values()}


def _write(data: DataDir, path: Path, days: Mapping[str, Day], record: WarehouseRecord | None) -> WrittenBuild:
    """Write the file: a copy of the build of the record with what changed, or a new one without a record."""
    if record is not None:
        _copy_build(data, record, path)
        new = msgspec.structs.replace(record, build=path.name, updates=record.updates + 1, views=dict(record.views))
    else:
        new = WarehouseRecord(describe_origin(data), path.name)
    spill = name_spill_folder(path)
    with duckdb_session(spill, threads=1, memory_limit=MEMORY_LIMIT) as connection:
        connection.execute(f"ATTACH {quote(str(path))} AS warehouse (STORAGE_VERSION 'v{OLDEST_READER}')")
        # without it every third update takes 1.4 s more and 170 MB, to join the row groups that updates add
        connection.execute("SET max_vacuum_tasks = 0")
        connection.execute("USE warehouse")
        connection.begin()  # one transaction: a sync for each comment takes most of the time
        for table in STORED_TABLES:
            if record is None:
                connection.execute(f"CREATE TABLE {table.name} AS {build_empty_sql(connection, table)}")
                _execute_all(connection, iter_comments(table, "TABLE"))
            _change_table(connection, data, table, _compare(table, record, days))
        for table in PULLED_TABLES:
            query = build_view_sql(connection, data, table, days)
            new.views[table.name] = define_view(connection, table, query, new.views.get(table.name))
        trend = COMPLETION_TREND
        new.views[trend.name] = define_view(connection, trend, load_trend_sql(), new.views.get(trend.name))
        connection.commit()
        rows = {table.name: len(connection.table(table.name)) for table in STORED_TABLES}
        connection.execute("USE scratch; DETACH warehouse; RESET max_vacuum_tasks")
    with suppress(OSError):
        spill.rmdir()
    new.days = {folder: day.remember() for folder, day in days.items() if day.is_settled and day.is_complete}
    new.stored = {table.name: _remember_stored(table, days) for table in STORED_TABLES}
    return WrittenBuild(new, rows, list(list_reasons(days.values())))


def _remember_stored(table: Table, days: Mapping[str, Day]) -> dict[str, bytes]:
    """Return the signature of the file of each day that a table stores; an empty one if it must be read again."""
    chosen = _choose_stored(table, days)
    return {folder: day.get_signature(table.name) if day.is_settled else b"" for folder, day in chosen.items()}


def _copy_build(data: DataDir, record: WarehouseRecord, path: Path) -> None:
    """Copy the build of the record.

    Raises:
        LakeError: a program wrote into it meanwhile.
        OSError: it can't be copied.
    """
    latest = data.warehouse.resolve()
    shutil.copyfile(latest, path)
    if sign_file(latest) != record.build_signature:
        raise LakeError(f"{latest} was changed while it was copied.")


def _change_table(connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, change: TableChange) -> None:
    """Remove and add the rows of days, in the order of account and day.

    Raises:
        LakeError: a file is damaged.
    """
    if change.removed:
        keys: dict[str, list[object]] = {"days": [partition.day for partition in change.removed]}
        if table.per_account:
            keys["accounts"] = [
                partition.account_id for partition in change.removed if isinstance(partition, Partition)
            ]
        statement = REMOVE_ACCOUNT_DAYS if table.per_account else REMOVE_DAYS
        connection.execute(statement.format(table=table.name), keys)
    for start in range(0, len(change.added), FILES_PER_QUERY):
        days = change.added[start : start + FILES_PER_QUERY]
        files = [str(data.file(table, day.partition)) for day in days]
        for file in files:
            check_unchanged(Path(file))
        is_uniform = not any(table.name in day.older for day in days)
        query = build_select_sql(connection, table, files, is_uniform=is_uniform)
        connection.execute(f"INSERT INTO {table.name} {query}")


def build_view_sql(connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, days: Mapping[str, Day]) -> str:
    """Return the query of the view of a table.

    If all files can be read, it is over a pattern, and also shows files that are published later.
    """
    published = [day for day in days.values() if day.has_file(table.name)]
    readable = [day for day in published if table.name in day.readable]
    if published and len(readable) == len(published):
        files = [data.describe(data.lake / table.name / ("*/*" if table.per_account else "*") / DATA_FILE)]
    else:
        files = [data.describe(data.file(table, day.partition)) for day in readable]
    is_uniform = not any(table.name in day.older for day in readable)
    return build_select_sql(connection, table, files, is_uniform=is_uniform)


def define_view(connection: duckdb.DuckDBPyConnection, table: Table, query: str, known: str | None) -> str:
    """Define a view, unless it has the query with the hash `known`; return the hash of its query."""
    if hash_text(query) != known:
        connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS {query}")
        _execute_all(connection, iter_comments(table, "VIEW"))
    return hash_text(query)


def _execute_all(connection: duckdb.DuckDBPyConnection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement)


def _find_damaged(data: DataDir, days: Mapping[str, Day], record: WarehouseRecord | None) -> dict[str, dict[str, str]]:
    """Read the files whole that a build adds, and return why some can't be read, by folder and table."""
    damaged: dict[str, dict[str, str]] = {}
    for table in STORED_TABLES:
        for day in _compare(table, record, days).added:
            try:
                read_whole(data.file(table, day.partition), table)
            except LakeError as error:
                damaged.setdefault(day.partition.folder.as_posix(), {})[table.name] = str(error)
    return damaged


def _leave_out(day: Day, reasons: Mapping[str, str]) -> Day:
    """Return a day without the files of some tables; `reasons` says why, by table."""
    if not reasons:
        return day
    return replace(day, readable=day.readable - reasons.keys(), reasons={**day.reasons, **reasons}, is_complete=False)


def list_reasons(days: Iterable[Day]) -> Iterator[str]:
    """Yield each reason once, by table: a damaged commit mark is the reason for several tables."""
    with_reasons = [day for day in days if day.reasons]
    found = (day.reasons[table] for table in TABLES for day in with_reasons if table in day.reasons)
    yield from dict.fromkeys(found)


def name_spill_folder(path: Path) -> Path:
    """Return the folder into which the queries of a build spill."""
    return path.with_name(f"{path.name}.tmp")
