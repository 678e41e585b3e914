"""The warehouse `lms.duckdb`: a DuckDB file over the lake, built in a file of its own and then swapped in.

Belongs here: building and opening it. Not here: reading the lake from Python (`reading.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa
from filelock import FileLock

from lms_pipeline.lake.disk import LakeError, disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.reading import PARTITION_SCHEMA, find_committed
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.metrics import LEARNER_COMPLETION
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
        LakeError: the warehouse was not built yet, or another program has it open for writing.
    """
    if not data.warehouse.exists():
        raise LakeError(f"There is no warehouse at {data.warehouse} yet: run `lms-pipeline materialize` first.")
    try:
        connection = duckdb.connect(str(data.warehouse.resolve()), read_only=True)
    except duckdb.IOException:
        raise LakeError(
            f"{data.warehouse} can't be opened: close the program that has it open for writing, or materialize the "
            "asset `warehouse`, which builds a new one."
        ) from None
    with connection:
        connection.execute("SET TimeZone = 'UTC'")
        # a name in a query is a table, never a Python variable
        connection.execute("SET python_enable_replacements = false")
        yield connection


def build_warehouse(data: DataDir) -> dict[str, int]:
    """Build a new warehouse from the published files, and swap it in.

    Readers of the old file are not disturbed. Views show files that are published later, too.

    Returns:
        The rows of each stored table, by its name; views are left out.

    Raises:
        LakeError: it can't be built; the old warehouse stays.
    """
    folder = data.state / "warehouse"
    build = folder / f"lms-{uuid.uuid4().hex}.duckdb"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            try:
                rows = _write_database(build, data)
            except LakeError:
                build.unlink(missing_ok=True)
                raise
            except duckdb.Error as error:
                build.unlink(missing_ok=True)
                reason = str(error).splitlines()[0]
                raise LakeError(f"The warehouse can't be built, and the old one stays: {reason}") from error
            _swap_link(data.warehouse, build)
            _remove_old_builds(folder, build)
    return rows


def _write_database(path: Path, data: DataDir) -> dict[str, int]:
    rows: dict[str, int] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = $folder", {"folder": f"{path}.tmp"})
        connection.execute(f"ATTACH {_quote(str(path))} AS warehouse (STORAGE_VERSION 'v{OLDEST_READER}')")
        connection.execute("USE warehouse")
        connection.begin()  # one transaction: a sync for each comment takes most of the time
        for table in TABLES.values():
            query = _build_select_sql(connection, table, _find_files(data, table))
            if table in METRIC_TABLES:
                kind = "TABLE"
                connection.execute(f"CREATE TABLE {table.name} AS FROM ({query}) ORDER BY account_id, snapshot_date")
                rows[table.name] = len(connection.table(table.name))
            else:
                kind = "VIEW"
                connection.execute(f"CREATE VIEW {table.name} AS {query}")
            # the meaning of the table and of its columns, for SQL clients to show
            connection.execute(f"COMMENT ON {kind} {table.name} IS {_quote(table.doc)}")
            for name, doc in (PARTITION_DOCS | {column.name: column.doc for column in table.columns}).items():
                connection.execute(f'COMMENT ON COLUMN {table.name}."{name}" IS {_quote(doc)}')
        connection.commit()
        connection.execute("USE memory; DETACH warehouse")
    return rows


def _find_files(data: DataDir, table: Table) -> list[str]:
    """Return the files of a table; of `learner_completion` only those of each account's latest day.

    If all partitions are committed, it is one pattern, so that a view also shows files that are published later.
    """
    published = list(data.find_partitions(table))
    readable = dict(find_committed(data, table, published))
    files = [str(path) for path in readable.values()]
    if table == LEARNER_COMPLETION:
        return list({partition.account_id: str(path) for partition, path in readable.items()}.values())
    if published and files == [str(data.file(table, partition)) for partition in published]:
        return [str(data.lake / table.name / "*/*/data.parquet")]
    return files


def _swap_link(link: Path, target: Path) -> None:
    """Make `link` lead to the new build.

    DuckDB keeps a write-ahead log beside the file that a link leads to. Without the link, a new build could not be opened
    beside the log of a program that has the old one open for writing.
    """
    new = link.with_name(f".{target.name}.link")
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    link.with_name(f"{link.name}.wal").unlink(missing_ok=True)


def _remove_old_builds(folder: Path, current: Path) -> None:
    """Remove older builds. A reader that has one open keeps it, and its folder for spilled data, until it closes it."""
    older = sorted(set(folder.glob("lms-*.duckdb")) - {current}, key=lambda path: path.stat().st_mtime)
    kept = {current.name, *(build.name for build in older[1 - MAX_BUILDS :])}
    for path in folder.glob("lms-*.duckdb*"):
        if path.name.removesuffix(".wal").removesuffix(".tmp") in kept:
            continue
        if path.suffix == ".tmp":
            with suppress(OSError):  # a query still spills into it
                path.rmdir()
        else:
            path.unlink(missing_ok=True)


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
