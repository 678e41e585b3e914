"""The SQL of the warehouse: its tables, views and comments, and the queries over the files of a table.

Belongs here: text that DuckDB can't bind, quoted. Not here: which files (`warehouse_days.py`), running it (`warehouse.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import duckdb

from lms_pipeline.lake.engine import load_sql
from lms_pipeline.lake.path_columns import PATH_COLUMN_DOCS, build_read_schema, list_path_columns
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES, STORED_TABLES, TABLES, VIEWS
from lms_pipeline.tables.schema import SCHEMA_VERSION, Table

OLDEST_READER = "1.0.0"
"""The oldest DuckDB that opens the file: people's own tools carry the DuckDB that they carry."""
_PATH_TYPES = {"account_id": "VARCHAR", "snapshot_date": "DATE"}

REMOVE_ACCOUNT_DAYS = """
DELETE FROM {table} USING (
    SELECT unnest($accounts::VARCHAR[]) AS account_id, unnest($days::DATE[]) AS snapshot_date
) AS removed
WHERE {table}.account_id = removed.account_id AND {table}.snapshot_date = removed.snapshot_date
"""
"""Removes the rows of accounts and days that are given as two lists of the same length."""
REMOVE_DAYS = "DELETE FROM {table} WHERE list_contains($days::DATE[], snapshot_date)"
"""Removes the rows of a list of days, of a table over all accounts."""


def hash_layout() -> str:
    """Return a hash of all tables with their columns and comments, as this version makes them."""
    tables = [
        (table.name, table.doc, table in STORED_TABLES, table in LATEST_DAY_TABLES, _list_columns(table))
        for table in (*TABLES.values(), *VIEWS.values())
    ]
    return hash_text(repr((OLDEST_READER, SCHEMA_VERSION, tables, load_trend_sql())))


def load_trend_sql() -> str:
    """Return the query of the view `completion_trend`, over the tables from which it is computed."""
    return load_sql(__package__, "completion_trend.sql")


def hash_text(text: str) -> str:
    """Return a hash of a statement, by which a later build knows it."""
    return hashlib.sha256(text.encode()).hexdigest()


def iter_comments(table: Table, kind: str) -> Iterator[str]:
    """Yield the statements that give a table or view, and its columns, their meaning, for SQL clients to show."""
    yield f"COMMENT ON {kind} {table.name} IS {quote(table.doc)}"
    for name, _, doc in _list_columns(table):
        yield f'COMMENT ON COLUMN {table.name}."{name}" IS {quote(doc)}'


def build_empty_sql(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """Return a query with all columns of a table and no rows."""
    described = connection.from_arrow(build_read_schema(table).empty_table())
    typed = (f'NULL::{kind} AS "{name}"' for name, kind in zip(described.columns, described.types, strict=True))
    return f"SELECT {', '.join(typed)} WHERE false"


def build_select_sql(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    files: Sequence[str],
    *,
    is_uniform: bool,
    in_path: Sequence[str] | None = None,
) -> str:
    """Return the query over the files of a table, or over all that match a pattern.

    Other columns are left out: DuckDB reads any `x=y` in the path of the data directory as a column.

    Args:
        connection: to a DuckDB, which names its types.
        table: the table.
        files: paths and patterns.
        is_uniform: whether all files have the columns that the table has now. Then the columns are those of the first
            file, and only files whose rows are selected are opened. Otherwise all are opened, and a column that an older
            file lacks is null.
        in_path: the columns that are in the paths of the files, not in the files; by default those of the table's own.
    """
    empty = build_empty_sql(connection, table)
    if not files:
        return empty
    names = ", ".join(f'"{name}"' for name, _, _ in _list_columns(table))
    types = ", ".join(f"{name}: {_PATH_TYPES[name]}" for name in in_path or list_path_columns(table))
    options = f"hive_partitioning = true, hive_types = {{{types}}}"
    paths = ", ".join(map(quote, files))
    if is_uniform:
        return f"SELECT {names} FROM read_parquet([{paths}], {options})"  # noqa: S608 (names of our schema, quoted paths)
    rows = f"read_parquet([{paths}], union_by_name = true, {options})"
    return f"SELECT {names} FROM ({empty} UNION ALL BY NAME SELECT * FROM {rows})"  # noqa: S608 (names of our schema, quoted paths)


def quote(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _list_columns(table: Table) -> list[tuple[str, str, str]]:
    """Return name, type and meaning of each column, with those that are in the path."""
    in_path = [(name, "", PATH_COLUMN_DOCS[name]) for name in list_path_columns(table)]
    return [*in_path, *((column.name, str(column.type), column.doc) for column in table.columns)]
