"""The views of tables that are not rolled up, over the files of the accounts themselves, or of all accounts.

Belongs here: which files are opened for such a view, and what is left out of it. Not here: views over roll-ups
(`warehouse_views.py`), the warehouse without roll-ups (`warehouse_build.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import read_footer
from lms_pipeline.lake.index import PublishedDay
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.lake.scan import DayFiles
from lms_pipeline.lake.warehouse_build import build_view_sql, define_view, find_days, list_reasons
from lms_pipeline.lake.warehouse_days import describe_columns, judge_day
from lms_pipeline.lake.warehouse_sql import build_empty_sql, build_select_sql, quote
from lms_pipeline.tables.schema import Table

MAX_SAMPLES: Final = 5
"""Files of a schema version that are opened until one can be read."""


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """What the index knows of the files."""

    samples: Sequence[PublishedDay]
    """A few days for each schema version."""
    pending: Sequence[PublishedDay]
    """The partitions in which a run may be publishing."""
    of_all: Sequence[PublishedDay]
    """The days of tables over all accounts."""
    has_files: frozenset[str]
    """The tables that have a file."""


def define_file_view(
    connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, published: PublishedFiles
) -> list[str]:
    """Define the view of a table that is not rolled up, over the files themselves; return why files are left out.

    A damaged file among those that are opened for it, samples and DuckDB's first, is left out. Only if that is not enough, all
    files are looked at.

    Raises:
        StoreError: the store can't be used. Nothing is known about the files then.
    """
    if table.name not in published.has_files:
        define_view(connection, table, build_empty_sql(connection, table), None)
        return []
    samples = _read_samples(data, table, published)
    for _ in range(2):
        try:
            query = _build_pattern_sql(connection, data, table, published, samples)
            connection.execute(f"SELECT 1 FROM ({query}) LIMIT 0")  # noqa: S608 (our query)
        except (duckdb.Error, LakeError) as error:
            if not samples.add_damaged(data, table, str(error)):
                break
        else:
            define_view(connection, table, query, None)
            return list(samples.damaged.values())
    days = find_days(data, None, tables=[table])
    define_view(connection, table, build_view_sql(connection, data, table, days), None)
    return [reason for reason in list_reasons(days.values()) if f"/{table.name}/" in reason]


@dataclass(slots=True)
class _Samples:
    """Files of a table that were opened for its view."""

    readable: list[tuple[AnyPartition, bool]] = field(default_factory=list)
    """The partition of each, and whether its file has the columns that the table has now."""
    damaged: dict[AnyPartition, str] = field(default_factory=dict)
    """For the partition of each that can't be read, a sentence that says why."""
    is_whole: bool = True
    """Whether each schema version has one that can be read."""

    def add(self, data: DataDir, table: Table, partition: AnyPartition) -> bool:
        """Look at a file that is fetched, and return whether it can be read."""
        path = data.file(table, partition)
        try:
            self.readable.append((partition, read_footer(path).schema.equals(describe_columns(table))))
        except LakeError as error:
            self.damaged[partition] = str(error)
        return partition not in self.damaged

    def add_damaged(self, data: DataDir, table: Table, message: str) -> bool:
        """Look at the file that a message of DuckDB names, and return whether it is one that was not known as damaged."""
        found = re.search(rf"/{table.name}/(\S+)/{re.escape(DATA_FILE)}", message)
        partition = parse_any_folder(Path(found[1])) if found else None
        if partition is None or partition in self.damaged:
            return False
        _fetch(data, table, [partition])
        return not self.add(data, table, partition)


def _read_samples(data: DataDir, table: Table, published: PublishedFiles) -> _Samples:
    """Look at one readable file of each schema version, or at all files of a table over all accounts."""
    days = [one for one in (published.samples if table.per_account else published.of_all) if one.has_file(table.name)]
    samples, known = _Samples(), set[int | None]()
    if not table.per_account:
        _fetch(data, table, [one.partition for one in days])
    for one in days:
        if table.per_account and one.schema_version in known:
            continue
        if table.per_account:
            _fetch(data, table, [one.partition])
        if samples.add(data, table, one.partition):
            known.add(one.schema_version)
    samples.is_whole = known == {one.schema_version for one in days}
    return samples


def _fetch(data: DataDir, table: Table, partitions: Iterable[AnyPartition]) -> None:
    data.store.fetch([data.get_key(data.file(table, one)) for one in partitions])


def _build_pattern_sql(
    connection: duckdb.DuckDBPyConnection, data: DataDir, table: Table, published: PublishedFiles, samples: _Samples
) -> str:
    """Return the query over all files of a table without those of unfinished pulls; it also shows files that come later.

    Raises:
        LakeError: one is damaged, and no other of its schema version can be read, or some files have older columns.
    """
    is_uniform = all(is_current for _, is_current in samples.readable)
    folders = "*/*" if table.per_account else "*"
    files = [data.describe(data.lake / table.name / folders / DATA_FILE)]
    pending = published.pending if table.per_account else ()
    hidden = [one.partition for one in pending if not _is_readable(data, table, one)]
    if not samples.damaged:
        return f"{build_select_sql(connection, table, files, is_uniform=is_uniform)}{_build_exclusion(hidden)}"
    first = next((one for one, _ in samples.readable if one not in hidden), None)
    if first is None or not is_uniform or not samples.is_whole:
        raise LakeError("Which files can be read is not known.")
    # DuckDB opens the first file, whichever rows are selected: a readable one, whose rows come from a query of its own
    address = data.describe(data.file(table, first))
    query = build_select_sql(connection, table, [address, *files], is_uniform=True)
    others = f"{query}{_build_exclusion([first, *samples.damaged, *hidden])}"
    return f"{others} UNION ALL BY NAME {build_select_sql(connection, table, [address], is_uniform=True)}"


def _build_exclusion(partitions: Sequence[AnyPartition]) -> str:
    """Return the condition that leaves out partitions, of which DuckDB then opens no file; "" without one."""
    if not partitions:
        return ""
    columns = "(account_id, snapshot_date)" if isinstance(partitions[0], Partition) else "snapshot_date"
    return f" WHERE {columns} NOT IN ({', '.join(map(_quote_partition, partitions))})"


def _is_readable(data: DataDir, table: Table, day: PublishedDay) -> bool:
    files = DayFiles(day.partition, bytearray(day.signatures), has_hidden=True)
    return table.name in judge_day(data, files, time.time_ns(), [table]).readable


def _quote_partition(partition: AnyPartition) -> str:
    day = f"DATE '{partition.day}'"
    return f"({quote(partition.account_id)}, {day})" if isinstance(partition, Partition) else day
