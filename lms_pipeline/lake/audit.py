"""What a file must stand before it is published.

What belongs here: looking at a finished file, as a reader will find it, not at what its writer believes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.engine import calculator
from lms_pipeline.tables.schema import Table, arrow_schema


class AuditError(LakeError):
    """A file that is not what it should be; it was not published."""


@dataclass(frozen=True, slots=True)
class KeyFaults:
    """Rows that can't be told from others."""

    nulls: dict[str, int]
    """Rows without a value, by column of the key; columns that have all of theirs are left out."""
    repeated: int
    """Rows with a key that another row has before them."""


def audit(path: Path, table: Table, key: Sequence[str]) -> int:
    """Check the schema, which also says what is never null, and that no key is null or stands twice.

    Returns:
        The rows in the file.

    Raises:
        AuditError: naming the table, the column and how many rows.
    """
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.remove_metadata().equals(arrow_schema(table)):
            raise AuditError(
                f"The new file of {table.name} has not the table's columns; nothing was published."
            )
        rows: int = file.metadata.num_rows
    if key:
        _check_key(path, table, key)
    return rows


def _check_key(path: Path, table: Table, key: Sequence[str]) -> None:
    faults = key_faults(path, key)
    for name, nulls in faults.nulls.items():
        raise AuditError(f"{nulls} rows of {table.name} have no {name}; nothing was published.")
    if faults.repeated:
        raise AuditError(
            f"{faults.repeated} rows of {table.name} repeat the key of another; nothing was published."
        )


def key_faults(path: Path, key: Sequence[str]) -> KeyFaults:
    """The rows of a file whose key is missing or another's."""
    columns = [duckdb.ColumnExpression(name) for name in key]
    with calculator(spill_to=path.parent) as connection:
        keys = connection.read_parquet(str(path)).select(*columns)
        nulls = {name: len(keys.filter(column.isnull())) for name, column in zip(key, columns, strict=True)}
        return KeyFaults(
            nulls={name: count for name, count in nulls.items() if count},
            repeated=len(keys) - len(keys.distinct()),
        )


def check_sum(*, brought: int, unified: int, rejected: int, duplicates: int) -> None:
    """Every record that was served, carried over or made of a detail is stored, rejected or a duplicate.

    Raises:
        AuditError: one was lost, or came from nowhere.
    """
    if brought != unified + rejected + duplicates:
        raise AuditError(
            f"{brought} enrollments were brought, but {unified} stored, {rejected} rejected and {duplicates} duplicates; "
            "nothing was published."
        )
