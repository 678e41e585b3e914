"""The warehouse: a DuckDB file over the lake, built beside and swapped in.

What belongs here: building and opening the file `lms.duckdb`. It is a link to the file that was built last: DuckDB
keeps a write-ahead log beside the file a link leads to, so what somebody who opened an older one read-write leaves
behind never meets the new one (a file swapped under its own name could not be opened by anybody any more).
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
from lms_pipeline.lake.reading import committed
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.metrics import LEARNER_COMPLETION
from lms_pipeline.tables.schema import Column, ListOf, Scalar, Table

_TYPES: dict[Scalar, str] = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
}
PARTITION_COLUMNS = (
    Column("account_id", "string", "The integrated account"),
    Column("snapshot_date", "date", "The day at whose end the state held"),
)


def create_view(table: Table, files: Sequence[str]) -> str:
    """A view over the files of a table, with every column in its type also while there is no file."""
    return f"CREATE VIEW {table.name} AS {_select(table, files)}"


def create_table(table: Table, files: Sequence[str]) -> str:
    """A table with the rows of the files."""
    order = ", ".join(column.name for column in PARTITION_COLUMNS)
    return f"CREATE TABLE {table.name} AS FROM ({_select(table, files)}) ORDER BY {order}"


def comments(table: Table, *, is_view: bool) -> Iterator[str]:
    """The meaning of the table and of its columns, where SQL clients show it."""
    yield f"COMMENT ON {'VIEW' if is_view else 'TABLE'} {table.name} IS {_quoted(table.doc)}"
    for column in (*PARTITION_COLUMNS, *table.columns):
        yield f'COMMENT ON COLUMN {table.name}."{column.name}" IS {_quoted(column.doc)}'


def _select(table: Table, files: Sequence[str]) -> str:
    """No rows with all the columns, and under them the files by name: a column that a file lacks is null.

    Other columns stay out: DuckDB takes any `x=y` in the path of the data directory for one.
    """
    columns = (*PARTITION_COLUMNS, *table.columns)
    typed = ", ".join(f'NULL::{_type(column.type)} AS "{column.name}"' for column in columns)
    empty = f"SELECT {typed} WHERE false"
    if not files:
        return empty
    paths = ", ".join(_quoted(file) for file in files)
    types = ", ".join(f"{column.name}: {_type(column.type)}" for column in PARTITION_COLUMNS)
    rows = (
        f"read_parquet([{paths}], union_by_name = true, hive_partitioning = true, hive_types = {{{types}}})"
    )
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f"SELECT {names} FROM ({empty} UNION ALL BY NAME SELECT * FROM {rows})"  # noqa: S608 (our own text, see the module)


def _type(kind: Scalar | ListOf) -> str:
    if isinstance(kind, ListOf):
        return f"STRUCT({', '.join(f'{name} {_TYPES[of]}' for name, of in kind.fields)})[]"
    return _TYPES[kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


KEPT_BUILDS = 2
"""The last build, and the one before it, which somebody may be about to open."""


def build(data: DataDir) -> dict[str, int]:
    """Build the warehouse anew from what is published, and swap it in.

    Readers of the old file go on undisturbed; runs that publish meanwhile are seen by the views at once.

    Returns:
        The rows of each table that is stored in it; a view has none of its own.
    """
    folder = data.state / "warehouse"
    built = folder / f"lms-{uuid.uuid4().hex}.duckdb"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            rows = _build_at(built, data)
            _swap(data.warehouse, built)
            _sweep(folder, built)
    return rows


@contextmanager
def reading(data: DataDir) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, read-only, in UTC.

    Raises:
        LakeError: it was not built yet, or somebody has it open for writing.
    """
    if not data.warehouse.exists():
        raise LakeError(
            f"There is no warehouse at {data.warehouse} yet: run `lms-pipeline materialize` first."
        )
    try:
        connection = duckdb.connect(str(data.warehouse.resolve()), read_only=True)
    except duckdb.IOException:
        raise LakeError(
            f"{data.warehouse} can't be opened: close the program that has it open for writing, or materialize the "
            "asset `warehouse`, which builds it anew."
        ) from None
    with connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "SET python_enable_replacements = false"
        )  # a name in a query is a table, never ours
        yield connection


def _build_at(path: Path, data: DataDir) -> dict[str, int]:
    try:
        return _write(data, path)
    except LakeError:
        path.unlink(missing_ok=True)
        raise
    except duckdb.Error as error:
        path.unlink(missing_ok=True)
        raise LakeError(
            f"The warehouse can't be built, and the one before it stays: {str(error).splitlines()[0]}"
        ) from error


def _write(data: DataDir, path: Path) -> dict[str, int]:
    rows: dict[str, int] = {}
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.begin()  # one for all: each comment brought to the disk by itself takes most of the time
        for table in TABLES.values():
            files = _files(data, table)
            if table in METRIC_TABLES:
                connection.execute(create_table(table, files))
                rows[table.name] = len(connection.table(table.name))
            else:
                connection.execute(create_view(table, files))
            for comment in comments(table, is_view=table not in METRIC_TABLES):
                connection.execute(comment)
        connection.commit()
    return rows


def _files(data: DataDir, table: Table) -> list[str]:
    """What a table is read from: a pattern, so that files published later are seen, where every partition may be read.

    Else those that may; and of the learners only each account's latest day.
    """
    published = list(data.partitions(table))
    readable = list(committed(data, table, published))
    if table == LEARNER_COMPLETION:
        readable = list({partition.account_id: partition for partition in readable}.values())
    elif published and readable == published:
        return [str(data.lake / table.name / "*/*/data.parquet")]
    return [str(data.file(table, partition)) for partition in readable]


def _swap(link: Path, target: Path) -> None:
    beside = link.with_name(f".{target.name}.link")
    beside.symlink_to(target.relative_to(link.parent))
    beside.replace(link)
    link.with_name(f"{link.name}.wal").unlink(missing_ok=True)


def _sweep(folder: Path, current: Path) -> None:
    """Remove older builds; who still has one open keeps it, and its folder for what spills, until they close it."""
    older = sorted(set(folder.glob("lms-*.duckdb")) - {current}, key=lambda path: path.stat().st_mtime)
    kept = {current.name, *(build.name for build in older[1 - KEPT_BUILDS :])}
    for path in [*folder.glob("lms-*.duckdb"), *folder.glob("lms-*.duckdb.wal")]:
        if path.name.removesuffix(".wal") not in kept:
            path.unlink(missing_ok=True)
    for path in folder.glob("lms-*.duckdb.tmp"):
        if path.name.removesuffix(".tmp") not in kept:
            with suppress(OSError):  # somebody's query still spills into it
                path.rmdir()
