"""The warehouse `lms.duckdb`: a DuckDB file over the lake, built in a file of its own and then swapped in.

Belongs here: building and opening it. Not here: reading the lake from Python (`reading.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.damaged_files import build_lock, read_json, remove_path, set_aside_folder
from lms_pipeline.lake.commit_mark import restore_interrupted
from lms_pipeline.lake.disk import LakeError, atomic_write, convert_disk_errors, is_disk_full
from lms_pipeline.lake.files import convert_read_errors
from lms_pipeline.lake.lock import LockedError, partition_lock
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition, parse_folder
from lms_pipeline.lake.reading import PARTITION_SCHEMA, find_committed
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.metrics import LEARNER_COMPLETION
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table, arrow_schema

MAX_BUILDS = 2
"""Builds that are kept: the latest, and the one before it, which a reader may be about to open."""

OLDEST_READER = "1.0.0"
"""The oldest DuckDB that opens the file: people's own tools carry the DuckDB that they carry."""

PARTITION_DOCS = {"account_id": "The integrated account", "snapshot_date": "The day at whose end the state held"}
"""The meaning of the columns that are in the path."""


@contextmanager
def open_warehouse(data: DataDir) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a read-only connection to the warehouse, in UTC.

    Raises:
        LakeError: the warehouse was not built yet or was built for another folder, or another program has it open for
            writing.
    """
    if not data.warehouse.exists():
        raise LakeError(f"There is no warehouse at {data.warehouse} yet: run `lms-pipeline materialize` first.")
    try:
        connection = duckdb.connect(str(data.warehouse.resolve()), read_only=True)
    except duckdb.Error:
        raise LakeError(
            f"{data.warehouse} can't be opened: close the program that has it open for writing, or materialize the "
            "asset `warehouse`, which builds a new one."
        ) from None
    with connection:
        if not _reads_this_lake(connection, data):
            raise LakeError(
                f"{data.warehouse} was built for another folder, whose files it would read: run `lms-pipeline materialize "
                "--select warehouse`, which builds a new one."
            )
        connection.execute("SET TimeZone = 'UTC'")
        # a name in a query is a table, never a Python variable
        connection.execute("SET python_enable_replacements = false")
        yield connection


def _reads_this_lake(connection: duckdb.DuckDBPyConnection, data: DataDir) -> bool:
    """Return whether the views read files of this data directory; a copied one has views of the original."""
    prefix = _quote(str(data.lake))[:-1]
    views = connection.execute(
        "SELECT sql FROM duckdb_views() WHERE NOT internal AND contains(sql, 'read_parquet')"
    ).fetchall()
    return all(prefix in sql for (sql,) in views)


@dataclass(frozen=True, slots=True)
class WarehouseBuild:
    """What a build holds, and what not."""

    rows: dict[str, int] = field(default_factory=dict)
    """The rows of each stored table, by its name; views have none."""
    left_out: list[str] = field(default_factory=list)
    """For each file that can't be read, a sentence that says why: no file keeps those of other accounts out."""


def build_warehouse(data: DataDir) -> WarehouseBuild:
    """Build a new warehouse from the published files, and swap it in.

    Readers of the old file are not disturbed. Views show files that are published later, too, unless a file of their
    table is left out.

    Raises:
        LakeError: it can't be built; the old warehouse stays.
    """
    folder = data.state / "warehouse"
    build = folder / f"lms-{uuid.uuid4().hex}.duckdb"
    with convert_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with build_lock(folder / "lock"):
            try:
                _restore_interrupted(data)
                built = _write_readable_database(build, data)
            except LakeError:
                _remove_build(build)
                raise
            except duckdb.Error as error:
                _remove_build(build)
                full = f"the disk of {folder} is full; free some space and run it again."
                reason = full if is_disk_full(error) else str(error).splitlines()[0]
                raise LakeError(f"The warehouse can't be built, and the old one stays: {reason}") from error
            _swap_link(data.warehouse, build)
            _remove_old_builds(folder, build)
            with atomic_write(data.left_out) as new:
                new.write_bytes(msgspec.json.encode(built.left_out))
    return built


def read_left_out(data: DataDir) -> list[str]:
    """Return the sentences about files that the latest build left out; none before the first one."""
    with convert_disk_errors(data.left_out):
        return read_json(data.left_out, list[str], "the next build of the warehouse writes it again") or []


def _restore_interrupted(data: DataDir) -> None:
    """Put back files that interrupted pulls replaced; a pull that is at work keeps its lock, and ends what it began."""
    for path in data.lake.glob(f"*/*/*/.{DATA_FILE}.*"):
        partition = parse_folder(path.parent.relative_to(path.parents[2]))
        if partition is not None:
            with suppress(LockedError), partition_lock(data, partition):
                restore_interrupted(data, PULLED_TABLES, partition)


def _write_readable_database(path: Path, data: DataDir) -> WarehouseBuild:
    """Write the file; if that fails because a page of a file is damaged, write it again without that file."""
    try:
        return _write_database(path, data, {})
    except duckdb.Error:
        damaged = _find_damaged_files(data)
        if not damaged:
            raise
    path.unlink(missing_ok=True)
    return _write_database(path, data, damaged)


def _write_database(path: Path, data: DataDir, damaged: Mapping[Path, str]) -> WarehouseBuild:
    """Write the file; `damaged` are files that are left out, with the reason."""
    built = WarehouseBuild()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = $folder", {"folder": f"{path}.tmp"})
        connection.execute(f"ATTACH {_quote(str(path))} AS warehouse (STORAGE_VERSION 'v{OLDEST_READER}')")
        connection.execute("USE warehouse")
        connection.begin()  # one transaction: a sync for each comment takes most of the time
        for table in TABLES.values():
            files = _find_files(data, table, damaged, built.left_out)
            if table in METRIC_TABLES:
                kind = "TABLE"
                query = _build_select_sql(connection, table, files)
                connection.execute(f"CREATE TABLE {table.name} AS FROM ({query}) ORDER BY account_id, snapshot_date")
                built.rows[table.name] = len(connection.table(table.name))
            else:
                kind = "VIEW"
                connection.execute(f"CREATE VIEW {table.name} AS {_build_select_sql(connection, table, files)}")
            # the meaning of the table and of its columns, for SQL clients to show
            connection.execute(f"COMMENT ON {kind} {table.name} IS {_quote(table.doc)}")
            for name, doc in (PARTITION_DOCS | {column.name: column.doc for column in table.columns}).items():
                connection.execute(f'COMMENT ON COLUMN {table.name}."{name}" IS {_quote(doc)}')
        connection.commit()
        connection.execute("USE memory; DETACH warehouse")
    return built


def _find_damaged_files(data: DataDir) -> dict[Path, str]:
    """Read the files of the stored tables whole, and return those that can't be read, each with the reason."""
    damaged: dict[Path, str] = {}
    for table in METRIC_TABLES:
        for partition in data.find_partitions(table):
            path = data.file(table, partition)
            try:
                with convert_read_errors(path), pq.ParquetFile(path) as file:
                    for _ in file.iter_batches():
                        pass
            except LakeError as error:
                damaged[path] = str(error)
    return damaged


def _find_files(data: DataDir, table: Table, damaged: Mapping[Path, str], left_out: list[str]) -> list[str]:
    """Return the files of a table; of `learner_completion` only those of each account's latest day.

    If all partitions can be read, it is one pattern, so that a view also shows files that are published later. Why a file
    can't be read is added to `left_out`.
    """
    published = list(data.find_partitions(table))
    readable: list[Partition] = []
    for partition in published:
        if reason := damaged.get(data.file(table, partition)):
            left_out.append(reason)
            continue
        try:
            readable += [found for found, _ in find_committed(data, table, [partition])]
        except LakeError as error:
            if str(error) not in left_out:  # the commit mark of several tables
                left_out.append(str(error))
    if table == LEARNER_COMPLETION:
        readable = list({partition.account_id: partition for partition in readable}.values())
    elif published and readable == published:
        return [str(data.lake / table.name / "*/*/data.parquet")]
    return [str(data.file(table, partition)) for partition in readable]


def _swap_link(link: Path, target: Path) -> None:
    """Make `link` lead to the new build.

    DuckDB keeps a write-ahead log beside the file that a link leads to. Without the link, a new build could not be opened
    beside the log of a program that has the old one open for writing.
    """
    set_aside_folder(link, "a new warehouse takes its place")
    new = link.with_name(f".{target.name}.link")
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    remove_path(link.with_name(f"{link.name}.wal"))


def _remove_build(build: Path) -> None:
    """Remove a build that failed, with its write-ahead log."""
    for path in (build, build.with_name(f"{build.name}.wal")):
        path.unlink(missing_ok=True)


def _remove_old_builds(folder: Path, current: Path) -> None:
    """Remove older builds. A reader that has one open keeps it, and its folder for spilled data, until it closes it."""
    for link in folder.parent.parent.glob(".lms-*.duckdb.link"):  # of a build that was killed before it swapped
        link.unlink(missing_ok=True)
    older = sorted(set(folder.glob("lms-*.duckdb")) - {current}, key=lambda path: path.stat().st_mtime)
    kept = {current.name, *(build.name for build in older[1 - MAX_BUILDS :])}
    for path in folder.glob("lms-*.duckdb*"):
        if path.name.removesuffix(".wal").removesuffix(".tmp") in kept:
            continue
        if path.suffix == ".tmp":
            with suppress(OSError):  # a query still spills into it
                path.rmdir()
        else:
            remove_path(path)


def _build_select_sql(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[str]) -> str:
    """Return the query: no rows with all columns, united by name with the files, so that a missing column is null.

    Other columns are left out: DuckDB reads any `x=y` in the path of the data directory as a column.
    """
    described = connection.from_arrow(pa.schema([*PARTITION_SCHEMA, *arrow_schema(table)]).empty_table())
    names = [f'"{name}"' for name in described.columns]
    typed = [f"NULL::{kind} AS {name}" for name, kind in zip(names, described.types, strict=True)]
    empty = f"SELECT {', '.join(typed)} WHERE false"
    if not files:
        return empty
    paths = ", ".join(map(_quote, files))
    types = "{account_id: VARCHAR, snapshot_date: DATE}"
    rows = f"read_parquet([{paths}], union_by_name = true, hive_partitioning = true, hive_types = {types})"
    return f"SELECT {', '.join(names)} FROM ({empty} UNION ALL BY NAME SELECT * FROM {rows})"  # noqa: S608 (names of our schema, quoted paths)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
