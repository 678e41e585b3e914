"""The SQL of the warehouse: its tables, views and comments, and the queries over the files of a table.

Belongs here: text that DuckDB can't bind, quoted. Not here: which files (`warehouse_days.py`), running it (`warehouse.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from lms_pipeline.lake.reading import PARTITION_SCHEMA
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.schema import SCHEMA_VERSION, Table, arrow_schema

OLDEST_READER = "1.0.0"
"""The oldest DuckDB that opens the file: people's own tools carry the DuckDB that they carry."""

PARTITION_DOCS = {"account_id": "The integrated account", "snapshot_date": "The day at whose end the state held"}
"""The meaning of the columns that are in the path."""

REMOVE_DAYS = """
DELETE FROM {table} USING (
    SELECT unnest($accounts::VARCHAR[]) AS account_id, unnest($days::DATE[]) AS snapshot_date
) AS removed
WHERE {table}.account_id = removed.account_id AND {table}.snapshot_date = removed.snapshot_date
"""
"""Removes the rows of the days that are given as two lists of the same length."""


def hash_layout() -> str:
    """Return a hash of all tables with their columns and comments, as this version makes them."""
    tables = [(table.name, table.doc, table in METRIC_TABLES, _list_columns(table)) for table in TABLES.values()]
    return hash_text(repr((OLDEST_READER, SCHEMA_VERSION, tables)))


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
    described = connection.from_arrow(pa.schema([*PARTITION_SCHEMA, *arrow_schema(table)]).empty_table())
    typed = (f'NULL::{kind} AS "{name}"' for name, kind in zip(described.columns, described.types, strict=True))
    return f"SELECT {', '.join(typed)} WHERE false"


def build_select_sql(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[str], *, is_uniform: bool
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
    """
    empty = build_empty_sql(connection, table)
    if not files:
        return empty
    names = ", ".join(f'"{name}"' for name, _, _ in _list_columns(table))
    options = "hive_partitioning = true, hive_types = {account_id: VARCHAR, snapshot_date: DATE}"
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
    in_path = [(name, "", doc) for name, doc in PARTITION_DOCS.items()]
    return [*in_path, *((column.name, str(column.type), column.doc) for column in table.columns)]
