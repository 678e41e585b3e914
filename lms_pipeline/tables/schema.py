"""How a table of the lake is described: its columns, their types and meaning, its key.

What belongs here: the vocabulary (`Column`, `Table`) and its translation to Arrow. The tables themselves stand
where their rows come from: `enrollments/tables.py` and `metrics/tables.py`; `lake/catalog.py` lists them all.
A `Table` is the one source for flattening, the write boundary, Dagster's column table and the docs. It is plain
data, so that Dagster's definitions can be loaded without importing pyarrow (0.4 s).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Scalar = Literal["string", "double", "int64", "bool", "timestamp", "date"]

SCHEMA_VERSION = 1
"""Of the whole lake. Schemas grow by adding columns only; each addition raises it by one."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of structs, given as the structs' fields in order."""

    fields: tuple[tuple[str, Scalar], ...]

    def __str__(self) -> str:
        """Arrow's way to write the type."""
        return f"list<struct<{', '.join(f'{name}: {kind}' for name, kind in self.fields)}>>"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its meaning (with the unit) is what users read in the UI and the docs.

    A `timestamp` is in microseconds, UTC.
    """

    name: str
    type: Scalar | ListOf
    doc: str
    sources: frozenset[str] = frozenset()
    """What decides its values: columns of the table that its own is worked out from, or fields of the API's lists."""
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lake, one Parquet file per partition."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = field(default=())
    """Columns that identify a row within a partition; empty where rows may repeat."""
    counted_by: frozenset[str] = frozenset()
    """Of the columns' sources those that decide which records count: what nearly all of them share is told once."""

    @property
    def column_names(self) -> list[str]:
        """The names in the order of the file."""
        return [column.name for column in self.columns]


@cache
def arrow_type(kind: Scalar | ListOf) -> pa.DataType:
    """The Arrow type of a column's values."""
    import pyarrow as pa

    if isinstance(kind, ListOf):
        return pa.list_(pa.struct([pa.field(name, arrow_type(of)) for name, of in kind.fields]))
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
    """The table as Arrow writes it, without the partition columns, which live in the path."""
    import pyarrow as pa

    return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in table.columns])
