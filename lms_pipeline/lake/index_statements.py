"""What the index needs of a database, so that SQLite and PostgreSQL share its statements.

Belongs here: the interface of a transaction, and text of statements. Not here: the statements of the index (`index.py`), and
transactions themselves (`index_file.py`, `index_postgres.py`).
"""

# Statements name the schema `lms`, and have a `?` for each value; days and times are passed as ISO text. Each database
# adapts what differs there.

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol


class Statements(Protocol):
    """A transaction under way."""

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query."""

    def run(self, statement: str, *rows: Sequence[object]) -> None:
        """Execute a statement once for each row of values."""


@cache
def build_upsert(table: str, key: str, others: str) -> str:
    """Return the statement that stores a row, and replaces the one with the same key; columns are named as in SQL."""
    columns = f"{key}, {others}"
    places = ", ".join("?" for _ in columns.split(", "))
    changes = ", ".join(f"{name} = excluded.{name}" for name in others.split(", "))
    return f"INSERT INTO lms.{table} ({columns}) VALUES ({places}) ON CONFLICT ({key}) DO UPDATE SET {changes}"  # noqa: S608 (our names)
