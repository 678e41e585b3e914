"""The columns of a table that are in the path of its files, not in the files: the account, if it has one, and the day.

Belongs here: their names, types and meanings. Not here: the paths (`paths.py`), the columns in the files (`tables/`).
"""

from __future__ import annotations

import pyarrow as pa

from lms_pipeline.tables.catalog import VIEWS
from lms_pipeline.tables.schema import Table, arrow_schema

PATH_COLUMN_DOCS = {"account_id": "The integrated account", "snapshot_date": "The day at whose end the state held"}
"""The meaning of each column that is in the path."""
_TYPES = {"account_id": pa.string(), "snapshot_date": pa.date32()}


def list_path_columns(table: Table) -> list[str]:
    """Return the columns that are in the path of the table's files; a view has no files."""
    if table.name in VIEWS:
        return []
    return ["account_id", "snapshot_date"] if table.per_account else ["snapshot_date"]


def build_path_schema(table: Table) -> pa.Schema:
    """Return the schema of the columns that are in the path."""
    return pa.schema([pa.field(name, _TYPES[name], nullable=False) for name in list_path_columns(table)])


def build_read_schema(table: Table) -> pa.Schema:
    """Return the schema of rows as they are read: the columns in the path, then those in the file.

    All of the latter may be null, since an older file may lack them.
    """
    return pa.schema(
        [*build_path_schema(table), *(field.with_nullable(nullable=True) for field in arrow_schema(table))]
    )
