"""The statements that make the warehouse's tables and views.

What belongs here: text. DuckDB takes no parameters in a view or a comment, so that paths and docs are written into
the statement as quoted literals; all of them are our own, nothing from outside gets here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    order = ", ".join(column.name for column in _partition_columns(table))
    return f"CREATE TABLE {table.name} AS FROM ({_select(table, files)}) ORDER BY {order}"


def comments(table: Table, *, is_view: bool) -> Iterator[str]:
    """The meaning of the table and of its columns, where SQL clients show it."""
    yield f"COMMENT ON {'VIEW' if is_view else 'TABLE'} {table.name} IS {_quoted(table.doc)}"
    for column in (*_partition_columns(table), *table.columns):
        yield f'COMMENT ON COLUMN {table.name}."{column.name}" IS {_quoted(column.doc)}'


def _select(table: Table, files: Sequence[str]) -> str:
    """No rows with all the columns, and under them the files by name: a column that a file lacks is null.

    Other columns stay out: DuckDB takes any `x=y` in the path of the data directory for one.
    """
    columns = (*_partition_columns(table), *table.columns)
    typed = ", ".join(f'NULL::{_type(column.type)} AS "{column.name}"' for column in columns)
    empty = f"SELECT {typed} WHERE false"
    if not files:
        return empty
    paths = ", ".join(_quoted(file) for file in files)
    types = ", ".join(f"{column.name}: {_type(column.type)}" for column in _partition_columns(table))
    rows = (
        f"read_parquet([{paths}], union_by_name = true, hive_partitioning = true, hive_types = {{{types}}})"
    )
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f"SELECT {names} FROM ({empty} UNION ALL BY NAME SELECT * FROM {rows})"  # noqa: S608 (our own text, see the module)


def _partition_columns(table: Table) -> Sequence[Column]:
    return PARTITION_COLUMNS if table.per_account else PARTITION_COLUMNS[1:]


def _type(kind: Scalar | ListOf) -> str:
    if isinstance(kind, ListOf):
        return f"STRUCT({', '.join(f'{name} {_TYPES[of]}' for name, of in kind.fields)})[]"
    return _TYPES[kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
