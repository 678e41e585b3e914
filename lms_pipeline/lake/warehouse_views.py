"""The warehouse with roll-ups: views alone, over one file for each table and day.

A day without a current roll-up is read from the files of the accounts: no row of theirs is missing in a build.

Belongs here: the views over roll-ups. Not here: those over files alone (`warehouse_file_views.py`), writing roll-ups
(`roll_up.py`), the warehouse without them (`warehouse_build.py`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import duckdb

from lms_pipeline.errors import choose_form
from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.index import PublicationIndex, RollUp
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import DATA_FILE, DataDir, DayPartition, Partition
from lms_pipeline.lake.roll_up_reading import (
    NO_FILE,
    find_stored_days,
    is_current,
    list_rolled_up_tables,
    list_signatures,
    read_left_out,
)
from lms_pipeline.lake.stored_footers import read_stored_metadata
from lms_pipeline.lake.warehouse_build import MEMORY_LIMIT, WrittenBuild, define_view, find_days, name_spill_folder
from lms_pipeline.lake.warehouse_days import Day
from lms_pipeline.lake.warehouse_file_views import MAX_SAMPLES, PublishedFiles, define_file_view
from lms_pipeline.lake.warehouse_sql import OLDEST_READER, build_empty_sql, build_select_sql, load_trend_sql, quote
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES, TABLES
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.schema import SCHEMA_VERSION, Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Rolled:
    """Which days of each table have a current roll-up."""

    files: Mapping[str, Sequence[RollUp]]
    """The current roll-ups of each table that have a file."""
    lacking: Mapping[tuple[str, date, str], str]
    """Why roll-ups lack an account, by table, day and account."""
    without: Mapping[str, frozenset[date]]
    """The days without a current roll-up, by table."""
    latest: Mapping[str, Mapping[str, date]]
    """The latest day of each account, by table, as of these roll-ups: what is published later is not in them."""


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What the views are made from. Files of accounts are opened only of days without a current roll-up."""

    rolled: _Rolled
    unrolled: Mapping[str, Sequence[Day]]
    """The accounts' days that have a file of a table, and no current roll-up of it."""
    latest: Mapping[str, Mapping[str, date]]
    """The latest day of each account that can be read, by table: only of `LATEST_DAY_TABLES`."""
    published: PublishedFiles
    """What is published of tables that are not rolled up."""


def write_views(data: DataDir, path: Path) -> WrittenBuild:
    """Write a warehouse of views to `path`.

    Raises:
        LakeError, duckdb.Error, OSError: it can't be written.
        StorageError: the store or the state can't be used.
    """
    rolled = read_index(data, partial(_find_rolled, data))
    unrolled = _find_unrolled(data, rolled)
    indexed = read_index(data, partial(_read, rolled, unrolled), is_compared=False)
    reasons = [one.reasons[table] for table, days in unrolled.items() for one in days if table in one.reasons]
    left_out = [*rolled.lacking.values(), *reasons]
    spill = name_spill_folder(path)
    with duckdb_session(spill, threads=1, memory_limit=MEMORY_LIMIT) as connection, _seeing_files(data, connection):
        connection.execute(f"ATTACH {quote(str(path))} AS warehouse (STORAGE_VERSION 'v{OLDEST_READER}')")
        connection.execute("USE warehouse")
        connection.begin()
        for table in TABLES.values():
            if table in list_rolled_up_tables():
                define_view(connection, table, _build_rolled_sql(connection, data, table, indexed), None)
            else:
                left_out.extend(define_file_view(connection, data, table, indexed.published))
        define_view(connection, COMPLETION_TREND, load_trend_sql(), None)
        connection.commit()
        connection.execute("USE scratch; DETACH warehouse")
    return WrittenBuild(None, {}, list(dict.fromkeys(left_out)))


@contextmanager
def _seeing_files(data: DataDir, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let DuckDB open the files of views that are defined in the block; for those in a bucket it gets empty ones."""
    if data.store.is_local:
        yield
        return
    from lms_pipeline.lake.warehouse_files import EmptyFileSystem  # fsspec is imported with a bucket only
    from lms_pipeline.storage.file_system import reading_files

    with reading_files(connection, EmptyFileSystem(data)):
        yield


def _find_rolled(data: DataDir, index: PublicationIndex) -> _Rolled:
    days, stored = index.find_days(), list_signatures(data)
    current = [one for one in index.find_roll_ups() if one.day in days and is_current(data, one, days, stored)]
    files: dict[str, list[RollUp]] = {}
    for one in (found for found in current if found.signature != NO_FILE):
        files.setdefault(one.table, []).append(one)
    covered = {(one.table, one.day) for one in current}
    # a pattern over all roll-ups would also match those of days that left the lake
    known = days.keys() | find_stored_days(stored)
    tables = [table.name for table in list_rolled_up_tables()]
    without = {table: frozenset(day for day in known if (table, day) not in covered) for table in tables}
    latest = {table.name: index.find_latest_days(table.name) for table in LATEST_DAY_TABLES}
    return _Rolled(files, _find_left_out(data, files), without, latest)


def _find_unrolled(data: DataDir, rolled: _Rolled) -> dict[str, list[Day]]:
    """Return the accounts' days that have a file of a table, and no current roll-up of it, by table."""
    dates = frozenset[date]().union(*rolled.without.values())
    tables = [table for table in list_rolled_up_tables() if rolled.without[table.name]]
    days = find_days(data, None, dates, tables).values() if dates else ()
    unrolled = {
        table: [one for one in days if one.partition.day in without and one.has_file(table)]
        for table, without in rolled.without.items()
    }
    if count := len({one.partition.day for found in unrolled.values() for one in found}):
        log.warning(
            "%s no current roll-up: the warehouse reads the files of the accounts there, until its next build.",
            choose_form(count, "1 day has", f"{count} days have"),
        )
    return unrolled


def _read(rolled: _Rolled, unrolled: Mapping[str, Sequence[Day]], index: PublicationIndex) -> _Indexed:
    pending = [
        day
        for partition in dict.fromkeys(one.partition for one in index.find_pending())
        if isinstance(partition, Partition)
        for day in index.find(account_id=partition.account_id, day=partition.day)
    ]
    latest = {table.name: _find_latest(index, table.name, rolled, unrolled[table.name]) for table in LATEST_DAY_TABLES}
    of_all, samples = index.find(account_id=""), index.find_schema_samples(MAX_SAMPLES)
    return _Indexed(rolled, unrolled, latest, PublishedFiles(samples, pending, of_all, index.find_tables()))


def _find_latest(index: PublicationIndex, table: str, rolled: _Rolled, unrolled: Sequence[Day]) -> dict[str, date]:
    """Return the latest day of each account that can be read, from a roll-up or from its own file."""
    in_roll_ups = {one.day for one in rolled.files.get(table, ())}
    readable = {one.partition for one in unrolled if table in one.readable}

    def is_readable(account_id: str, day: date) -> bool:
        if day in in_roll_ups:
            return (table, day, account_id) not in rolled.lacking
        return Partition(account_id, day) in readable

    latest: dict[str, date] = {}
    for account_id, last in rolled.latest[table].items():
        days: Sequence[date] = [last]
        if not is_readable(account_id, last):
            days = [day for day in index.find_account_days(table, account_id).get(account_id, ()) if day <= last]
        if (day := next((day for day in reversed(days) if is_readable(account_id, day)), None)) is not None:
            latest[account_id] = day
    return latest


def _find_left_out(data: DataDir, by_table: Mapping[str, Sequence[RollUp]]) -> dict[tuple[str, date, str], str]:
    """Return why roll-ups lack an account, by table, day and account."""
    lacking: dict[tuple[str, date, str], str] = {}
    for one in (one for roll_ups in by_table.values() for one in roll_ups if one.left_out):
        key = data.get_key(data.roll_up(TABLES[one.table], one.day))
        found = read_left_out(read_stored_metadata(data.store, key) or {})
        lacking |= {(one.table, one.day, account_id): sentence for account_id, sentence in found.items()}
    return lacking


def _build_rolled_sql(connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, indexed: _Indexed) -> str:
    """Return the query of a view over roll-ups, and over files of accounts for days that have none."""
    of_accounts = indexed.unrolled[table.name]
    queries = [_build_roll_up_sql(connection, data, table, indexed)]
    if table in LATEST_DAY_TABLES:
        latest = indexed.latest[table.name].items()
        found = {one.partition for one in of_accounts}
        paths = [data.file(table, one) for one in (Partition(*pair) for pair in latest) if one in found]
    else:
        paths = list(_list_paths(data, table, of_accounts))
    if paths:
        is_uniform = not any(table.name in one.older for one in of_accounts)
        queries.append(build_select_sql(connection, table, list(map(data.describe, paths)), is_uniform=is_uniform))
    return " UNION ALL BY NAME ".join(query for query in queries if query) or build_empty_sql(connection, table)


def _build_roll_up_sql(connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, indexed: _Indexed) -> str:
    """Return the query over current roll-ups; of `LATEST_DAY_TABLES` only the latest day of each account. "" without one."""
    roll_ups = indexed.rolled.files.get(table.name, ())
    is_uniform = all(one.schema_version == SCHEMA_VERSION for one in roll_ups)
    days, conditions = [one.day for one in roll_ups], ""
    if table in LATEST_DAY_TABLES:
        latest = indexed.latest[table.name]
        days = sorted(set(latest.values()).intersection(days))
        conditions = f" WHERE {' OR '.join(_build_conditions(latest, days))}" if days else ""
    if not days:
        return ""
    files = [data.describe(data.roll_up(table, day)) for day in days]
    if table not in LATEST_DAY_TABLES and not indexed.rolled.without[table.name]:
        # it also shows days that are rolled up later
        files = [data.describe(data.roll_ups / table.name / "*" / DATA_FILE)]
    query = build_select_sql(connection, table, files, is_uniform=is_uniform, in_path=["snapshot_date"])
    return f"{query}{conditions}"


def _list_paths(data: DataDir, table: Table, days: Sequence[Day]) -> Iterator[Path]:
    """Yield the readable files of a table, or a pattern for a date of which all are readable."""
    by_date: dict[date, list[Day]] = {}
    for one in days:
        by_date.setdefault(one.partition.day, []).append(one)
    for day, found in by_date.items():
        readable = [one for one in found if table.name in one.readable]
        if len(readable) == len(found):
            yield data.lake / table.name / "*" / DayPartition(day).folder / DATA_FILE
        else:
            yield from (data.file(table, one.partition) for one in readable)


def _build_conditions(latest: Mapping[str, date], days: Sequence[date]) -> Iterator[str]:
    """Yield a condition for each of these days: its accounts, or for the day of most accounts those of other days, who lack it."""
    (most, _), *_ = Counter(latest.values()).most_common(1)
    for day in days:
        others = [account_id for account_id, other in latest.items() if other != day]
        own = [account_id for account_id, other in latest.items() if other == day]
        if day == most and not others:
            yield f"snapshot_date = DATE '{day}'"
        elif day == most:
            yield f"(snapshot_date = DATE '{day}' AND account_id NOT IN ({_quote_all(others)}))"
        else:
            yield f"(snapshot_date = DATE '{day}' AND account_id IN ({_quote_all(own)}))"


def _quote_all(account_ids: Collection[str]) -> str:
    return ", ".join(map(quote, account_ids))
