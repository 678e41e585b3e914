"""The index of what is published in PostgreSQL, shared by the machines of an installation.

Belongs here: its tables, transactions and errors. Not here: the statements (`index.py`), and connections
(`storage/postgres.py`).
"""

# A reader of a revision must see all changes up to it. So revisions are numbered while the row of the state is locked, for
# some milliseconds until the commit. What takes longer, the look at the files of partitions, locks these partitions alone.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lms_pipeline.lake.engine import load_sql
from lms_pipeline.lake.index import DamagedIndexError, PublicationIndex
from lms_pipeline.lake.index_statements import Statements
from lms_pipeline.lake.paths import AnyPartition
from lms_pipeline.storage.postgres import Database, hash_name

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class with the name of a variable


class IndexPostgres(PublicationIndex):
    """The index in the schema `lms` of a database. Its tables are made when a statement does not find them."""

    def __init__(self, database: Database) -> None:
        """Use the index in a database."""
        self._database = database

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End this use of the index: each transaction has ended by itself."""

    @contextmanager
    def _reading(self) -> Iterator[Statements]:
        with self._database.transaction() as cursor:
            import psycopg2.errors  # which is there, since the database is open

            try:
                yield _CursorStatements(cursor)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn) as error:
                raise DamagedIndexError(
                    "The index in the database of LMS_STATE_URL lacks a table or a column: run `lms-pipeline housekeeping "
                    "--rebuild-index`.",
                    self._make_tables,
                ) from error

    @contextmanager
    def _writing(self, partitions: Sequence[AnyPartition] = ()) -> Iterator[Statements]:
        with self._reading() as statements:
            if partitions:
                keys = sorted({hash_name(f"published {partition}") for partition in partitions})  # against deadlocks
                statements.read("SELECT pg_advisory_xact_lock(key) FROM unnest(?) AS key", (keys,))
            yield statements

    def _make_tables(self) -> None:
        """Make the tables that are missing, or all again. Processes wait for each other."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [hash_name("scripts")])
            cursor.execute(load_sql(__package__, "index_postgres.sql"))


class _CursorStatements:
    """The statements of a transaction under way."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query."""
        self._cursor.execute(_adapt(query), values)
        rows: list[Any] = self._cursor.fetchall()
        return rows

    def run(self, statement: str, *rows: Sequence[object]) -> None:
        """Execute a statement once for each row of values, many of them in one message to the server."""
        from psycopg2.extras import execute_batch

        execute_batch(self._cursor, _adapt(statement), rows)


@cache
def _adapt(statement: str) -> str:
    return statement.replace("?", "%s").replace("group_concat(day)", "string_agg(day::text, ',')")
