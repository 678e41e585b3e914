"""The warehouse with roll-ups: views alone, over one file for each table and day.

Belongs here: the views. Not here: writing roll-ups (`roll_up.py`), the warehouse without them (`warehouse_build.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import duckdb

from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.files import read_footer, read_metadata
from lms_pipeline.lake.index import PublicationIndex, PublishedDay, RollUp
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import AnyPartition, DataDir, Partition
from lms_pipeline.lake.roll_up_reading import NO_FILE, list_rolled_up_tables, read_left_out
from lms_pipeline.lake.scan import DayFiles
from lms_pipeline.lake.warehouse_build import (
    MEMORY_LIMIT,
    WrittenBuild,
    build_view_sql,
    define_view,
    find_days,
    list_reasons,
    name_spill_folder,
)
from lms_pipeline.lake.warehouse_days import describe_columns, judge_day
from lms_pipeline.lake.warehouse_sql import OLDEST_READER, build_empty_sql, build_select_sql, load_trend_sql, quote
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES, TABLES
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.schema import SCHEMA_VERSION, Table


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What the views are made from. No file of an account is opened for it."""

    roll_ups: Mapping[str, Sequence[RollUp]]
    """The roll-ups of each table."""
    lacking: Mapping[tuple[str, date, str], str]
    """Why roll-ups lack an account, by table, day and account."""
    latest: Mapping[str, Mapping[str, date]]
    """The latest day of each account that is in a roll-up, by table: only of `LATEST_DAY_TABLES`."""
    samples: Sequence[PublishedDay]
    """One day for each schema version."""
    pending: Sequence[PublishedDay]
    """The partitions in which a run may be publishing."""
    of_all: Sequence[PublishedDay]
    """The days of tables over all accounts."""
    has_files: frozenset[str]
    """The tables that have a file."""


def write_views(data: DataDir, path: Path) -> WrittenBuild:
    """Write a warehouse of views to `path`.

    Raises:
        LakeError, duckdb.Error, OSError: it can't be written.
    """
    indexed = read_index(data, partial(_read, data))
    left_out = list(indexed.lacking.values())
    spill = name_spill_folder(path)
    with duckdb_session(spill, threads=1, memory_limit=MEMORY_LIMIT) as connection:
        connection.execute(f"ATTACH {quote(str(path))} AS warehouse (STORAGE_VERSION 'v{OLDEST_READER}')")
        connection.execute("USE warehouse")
        connection.begin()
        rolled_up = list_rolled_up_tables()
        for table in TABLES.values():
            if table in rolled_up:
                define_view(connection, table, _build_rolled_sql(connection, data, table, indexed), None)
            else:
                left_out.extend(_define_file_view(connection, data, table, indexed))
        define_view(connection, COMPLETION_TREND, load_trend_sql(), None)
        connection.commit()
        connection.execute("USE scratch; DETACH warehouse")
    return WrittenBuild(None, {}, list(dict.fromkeys(left_out)))


def _read(data: DataDir, index: PublicationIndex) -> _Indexed:
    roll_ups: dict[str, list[RollUp]] = {}
    for one in (found for found in index.find_roll_ups() if found.signature != NO_FILE):
        roll_ups.setdefault(one.table, []).append(one)
    pending = [
        day
        for partition in dict.fromkeys(one.partition for one in index.find_pending())
        if isinstance(partition, Partition)
        for day in index.find(account_id=partition.account_id, day=partition.day)
    ]
    has_files = frozenset(table for table in TABLES if index.has_files(table))
    lacking = _find_left_out(data, roll_ups)
    latest = {
        table.name: _find_latest(index, table.name, {one.day for one in roll_ups.get(table.name, ())}, lacking)
        for table in LATEST_DAY_TABLES
    }
    return _Indexed(
        roll_ups, lacking, latest, index.find_schema_samples(), pending, index.find(account_id=""), has_files
    )


def _find_latest(
    index: PublicationIndex, table: str, rolled: Collection[date], lacking: Collection[tuple[str, date, str]]
) -> dict[str, date]:
    """Return the latest day of each account that is in a roll-up."""
    latest: dict[str, date] = {}
    for account_id, last in index.find_latest_days(table).items():
        days: Sequence[date] = [last]
        if last not in rolled or (table, last, account_id) in lacking:
            days = index.find_account_days(table, account_id).get(account_id, ())
        found = (day for day in reversed(days) if day in rolled and (table, day, account_id) not in lacking)
        if (day := next(found, None)) is not None:
            latest[account_id] = day
    return latest


def _find_left_out(data: DataDir, by_table: Mapping[str, Sequence[RollUp]]) -> dict[tuple[str, date, str], str]:
    """Return why roll-ups lack an account, by table, day and account."""
    lacking: dict[tuple[str, date, str], str] = {}
    for table, roll_ups in by_table.items():
        for one in roll_ups:
            if one.left_out:
                found = read_left_out(read_metadata(data.roll_up(TABLES[table], one.day)))
                lacking |= {(table, one.day, account_id): sentence for account_id, sentence in found.items()}
    return lacking


def _build_rolled_sql(connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, indexed: _Indexed) -> str:
    """Return the query of a view over roll-ups; of `LATEST_DAY_TABLES` only the latest day of each account."""
    roll_ups = indexed.roll_ups.get(table.name, ())
    if not roll_ups:
        return build_empty_sql(connection, table)
    is_uniform = all(one.schema_version == SCHEMA_VERSION for one in roll_ups)
    if table not in LATEST_DAY_TABLES:
        files = [str(data.roll_ups / table.name / "*" / "data.parquet")]
        return _select(connection, table, files, is_uniform=is_uniform)
    latest = indexed.latest[table.name]
    files = [str(data.roll_up(table, day)) for day in sorted(set(latest.values()))]
    if not files:
        return build_empty_sql(connection, table)
    query = _select(connection, table, files, is_uniform=is_uniform)
    return f"{query} WHERE {' OR '.join(_build_conditions(latest))}"


def _select(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[str], *, is_uniform: bool) -> str:
    return build_select_sql(connection, table, files, is_uniform=is_uniform, in_path=["snapshot_date"])


def _build_conditions(latest: Mapping[str, date]) -> Iterator[str]:
    """Yield a condition for each day: its accounts, or for the day of most accounts those of other days, who lack it."""
    (most, _), *_ = Counter(latest.values()).most_common(1)
    for day in sorted(set(latest.values())):
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


def _define_file_view(
    connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, indexed: _Indexed
) -> list[str]:
    """Define the view of a table that is not rolled up, over the files themselves; return why files are left out.

    If the first file can't be read, which DuckDB opens for it, all are looked at.
    """
    try:
        query = _build_pattern_sql(connection, data, table, indexed)
        connection.execute(f"SELECT 1 FROM ({query}) LIMIT 0")  # noqa: S608 (our query)
    except (duckdb.Error, LakeError):
        days = find_days(data, None)
        define_view(connection, table, build_view_sql(connection, data, table, days), None)
        return [reason for reason in list_reasons(days.values()) if f"/{table.name}/" in reason]
    define_view(connection, table, query, None)
    return []


def _build_pattern_sql(connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, indexed: _Indexed) -> str:
    """Return the query over all files of a table without those of unfinished pulls; it also shows files that come later."""
    if table.name not in indexed.has_files:
        return build_empty_sql(connection, table)
    is_uniform = all(
        read_footer(data.file(table, one.partition)).schema.equals(describe_columns(table))
        for one in (indexed.samples if table.per_account else indexed.of_all)
        if one.has_file(table.name)
    )
    folders = "*/*" if table.per_account else "*"
    pattern = str(data.lake / table.name / folders / "data.parquet")
    query = build_select_sql(connection, table, [pattern], is_uniform=is_uniform)
    hidden = [one.partition for one in indexed.pending if table.name not in _list_readable(data, one)]
    if not hidden or not table.per_account:
        return query
    return f"{query} WHERE (account_id, snapshot_date) NOT IN ({', '.join(map(_quote_partition, hidden))})"


def _list_readable(data: DataDir, day: PublishedDay) -> frozenset[str]:
    files = DayFiles(day.partition, bytearray(day.signatures), has_hidden=True)
    return judge_day(data, files, time.time_ns()).readable


def _quote_partition(partition: AnyPartition) -> str:
    account_id = partition.account_id if isinstance(partition, Partition) else ""
    return f"({quote(account_id)}, DATE '{partition.day}')"
