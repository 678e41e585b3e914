"""The warehouse `lms.duckdb`: a DuckDB file over the lake, built in a file of its own and then swapped in.

Belongs here: building and opening it. `lms.duckdb` is a link to the latest build: DuckDB keeps a write-ahead log beside
the file that a link leads to, so the log of a program that opened an older build read-write never meets the new build.
(A file that was swapped under its own name could not be opened any more.)
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
from filelock import FileLock

from lms_pipeline.lake.disk import LakeError, disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.metrics import LEARNER_COMPLETION
from lms_pipeline.tables.schema import Column, ListOf, Scalar, Table

MAX_BUILDS = 2
"""Builds that are kept: the latest, and the one before it, which a reader may be about to open."""

PARTITION_COLUMNS = (
    Column("account_id", "string", "The integrated account"),
    Column("snapshot_date", "date", "The day at whose end the state held"),
)
_DUCKDB_TYPES: dict[Scalar, str] = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
}


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
            rows = _build_at(build, data)
            _swap_link(data.warehouse, build)
            _remove_old_builds(folder, build)
    return rows


def _build_at(path: Path, data: DataDir) -> dict[str, int]:
    try:
        return _write_database(path, data)
    except LakeError:
        path.unlink(missing_ok=True)
        raise
    except duckdb.Error as error:
        path.unlink(missing_ok=True)
        raise LakeError(f"The warehouse can't be built, and the old one stays: {str(error).splitlines()[0]}") from error


def _write_database(path: Path, data: DataDir) -> dict[str, int]:
    rows: dict[str, int] = {}
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.begin()  # one transaction: a sync for each comment takes most of the time
        for table in TABLES.values():
            files = _find_files(data, table)
            if table in METRIC_TABLES:
                connection.execute(_build_table_sql(table, files))
                rows[table.name] = len(connection.table(table.name))
            else:
                connection.execute(_build_view_sql(table, files))
            for comment in _build_comments_sql(table, is_view=table not in METRIC_TABLES):
                connection.execute(comment)
        connection.commit()
    return rows


def _find_files(data: DataDir, table: Table) -> list[str]:
    """Return the files of a table; of `learner_completion` only those of each account's latest day.

    If all partitions are committed, it is one pattern, so that a view also shows files that are published later.
    """
    published = list(data.partitions(table))
    readable = list(find_committed(data, table, published))
    if table == LEARNER_COMPLETION:
        readable = list({partition.account_id: partition for partition in readable}.values())
    elif published and readable == published:
        return [str(data.lake / table.name / "*/*/data.parquet")]
    return [str(data.file(table, partition)) for partition in readable]


def _swap_link(link: Path, target: Path) -> None:
    new = link.with_name(f".{target.name}.link")
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    link.with_name(f"{link.name}.wal").unlink(missing_ok=True)


def _remove_old_builds(folder: Path, current: Path) -> None:
    """Remove older builds. A reader that has one open keeps it, and its folder for spilled data, until it closes it."""
    older = sorted(set(folder.glob("lms-*.duckdb")) - {current}, key=lambda path: path.stat().st_mtime)
    kept = {current.name, *(build.name for build in older[1 - MAX_BUILDS :])}
    for path in [*folder.glob("lms-*.duckdb"), *folder.glob("lms-*.duckdb.wal")]:
        if path.name.removesuffix(".wal") not in kept:
            path.unlink(missing_ok=True)
    for path in folder.glob("lms-*.duckdb.tmp"):
        if path.name.removesuffix(".tmp") not in kept:
            with suppress(OSError):  # a query still spills into it
                path.rmdir()


def _build_view_sql(table: Table, files: Sequence[str]) -> str:
    """Return the statement for a view over the files, which has every column in its type even without files."""
    return f"CREATE VIEW {table.name} AS {_build_select_sql(table, files)}"


def _build_table_sql(table: Table, files: Sequence[str]) -> str:
    """Return the statement for a table with the rows of the files."""
    order = ", ".join(column.name for column in PARTITION_COLUMNS)
    return f"CREATE TABLE {table.name} AS FROM ({_build_select_sql(table, files)}) ORDER BY {order}"


def _build_comments_sql(table: Table, *, is_view: bool) -> Iterator[str]:
    """Yield the statements that store the meaning of the table and of its columns, for SQL clients to show."""
    yield f"COMMENT ON {'VIEW' if is_view else 'TABLE'} {table.name} IS {_quote(table.doc)}"
    for column in (*PARTITION_COLUMNS, *table.columns):
        yield f'COMMENT ON COLUMN {table.name}."{column.name}" IS {_quote(column.doc)}'


def _build_select_sql(table: Table, files: Sequence[str]) -> str:
    """Return the query: no rows with all columns, united by name with the files, so that a missing column is null.

    Other columns are left out: DuckDB reads any `x=y` in the path of the data directory as a column.
    """
    columns = (*PARTITION_COLUMNS, *table.columns)
    typed = ", ".join(f'NULL::{_format_duckdb_type(column.type)} AS "{column.name}"' for column in columns)
    empty = f"SELECT {typed} WHERE false"
    if not files:
        return empty
    paths = ", ".join(_quote(file) for file in files)
    types = ", ".join(f"{column.name}: {_format_duckdb_type(column.type)}" for column in PARTITION_COLUMNS)
    rows = f"read_parquet([{paths}], union_by_name = true, hive_partitioning = true, hive_types = {{{types}}})"
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f"SELECT {names} FROM ({empty} UNION ALL BY NAME SELECT * FROM {rows})"  # noqa: S608 (names of our schema, quoted paths)


def _format_duckdb_type(kind: Scalar | ListOf) -> str:
    if isinstance(kind, ListOf):
        return f"STRUCT({', '.join(f'{name} {_DUCKDB_TYPES[of]}' for name, of in kind.fields)})[]"
    return _DUCKDB_TYPES[kind]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
