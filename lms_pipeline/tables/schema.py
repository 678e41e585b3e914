"""How a table of the lake is described: `Table` and `Column`, and their translation to Arrow.

Belongs here: the one source for flattening, the audit, Dagster's column table and the docs, as plain data: Dagster loads
the definitions without pyarrow (0.4 s). Not here: the tables themselves (`pulled.py`, `metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Scalar = Literal["string", "double", "int64", "bool", "timestamp", "date"]

SCHEMA_VERSION = 3
"""The version of all tables of the lake. Schemas only grow by new columns, and each addition raises it by one."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of structs, given by the names and types of their fields in order."""

    fields: tuple[tuple[str, Scalar], ...]

    def __str__(self) -> str:
        """Return the type as Arrow writes it."""
        return f"list<struct<{', '.join(f'{name}: {kind}' for name, kind in self.fields)}>>"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. Users read `doc`, its meaning with the unit, in the UI and in the docs.

    A `timestamp` is in microseconds, UTC.
    """

    name: str
    type: Scalar | ListOf
    doc: str
    sources: frozenset[str] = frozenset()
    """Its lineage: the columns of the upstream table, or the fields of the API's lists, that decide its values."""
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lake, one Parquet file per partition; or a view over such tables, which has no files."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """Columns that identify a row within a partition; empty if no fixed columns do."""
    optional_key: tuple[str, ...] = ()
    """Columns of the key that may be null: null is one more value of them."""
    counted_by: frozenset[str] = frozenset()
    """The sources that decide which records count at all. Nearly all columns share them, so the UI lists them once."""
    per_account: bool = True
    """Whether a partition is an account and day. Otherwise it is a day, and a row is about all accounts."""

    @property
    def column_names(self) -> list[str]:
        """The column names in the order of the file."""
        return [column.name for column in self.columns]


@cache
def arrow_type(kind: Scalar | ListOf) -> pa.DataType:
    """Return the Arrow type of a column's values."""
    import pyarrow as pa

    if isinstance(kind, ListOf):
        return pa.list_(pa.struct([pa.field(name, arrow_type(scalar)) for name, scalar in kind.fields]))
    scalars: dict[Scalar, pa.DataType] = {
        "string": pa.string(),
        "double": pa.float64(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    return scalars[kind]


@cache
def arrow_schema(table: Table) -> pa.Schema:
    """Return the schema of the table's files. The partition columns are in the path, not in the file."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(column.name, arrow_type(column.type), nullable=column.nullable) for column in table.columns]
    )
