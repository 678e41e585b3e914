"""DuckDB in memory, for queries over Parquet files, and SQL from files.

Belongs here: the session and the loading of SQL. The warehouse file is `warehouse.py`.
"""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Self

from lms_pipeline.errors import LakeError
from lms_pipeline.storage.disk import is_disk_full, measure_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

MEMORY_LIMIT = "512MB"
"""Memory of a query before it spills to disk, whatever the size of an account."""
MAX_SPILL_SHARE = 0.5
"""The share of the free space of a disk that a query may spill to; DuckDB's own default is all of it."""
MAX_THREADS = 2
"""Threads of a query on any machine: each holds a row group, which may be 32 MB."""

_idle: list[_Database] = []
"""Databases for the next sessions: opening one takes 20 ms, and a run opens some thirty sessions."""


@dataclass(frozen=True, slots=True)
class _Database:
    """A database in memory that one session after another uses, and its settings: to set one takes 0.1 ms."""

    connection: duckdb.DuckDBPyConnection
    settings: dict[str, object] = field(default_factory=dict)

    @classmethod
    def open(cls) -> Self:
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        return cls(connection)

    def set(self, **values: object) -> None:
        """Set settings of DuckDB that have another value."""
        for name, value in values.items():
            if self.settings.get(name) != value:
                self.connection.execute(f"SET {name} = $value", {"value": value})
                self.settings[name] = value


@contextmanager
def duckdb_session(
    spill_to: Path | None = None, threads: int | None = None, memory_limit: str | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to an empty in-memory database in UTC. Nothing in it outlasts the block.

    Args:
        spill_to: the folder for data beyond the memory limit; without it such a query fails.
        threads: of DuckDB; by default as many as the machine has cores, and `MAX_THREADS` at most.
        memory_limit: as DuckDB writes it; by default `MEMORY_LIMIT`.

    Raises:
        LakeError: a query in the block needs more memory than the limit, and can't spill; or the disk is full.
    """
    import duckdb

    try:
        database = _idle.pop()
    except IndexError:  # no check before it: another thread may pop the last one in between
        database = _Database.open()
    with ExitStack() as on_error, convert_memory_errors(spill_to, memory_limit):
        on_error.callback(database.connection.close)
        database.set(memory_limit=memory_limit or MEMORY_LIMIT, temp_directory=str(spill_to or ""))
        if spill_to is not None:
            database.set(max_temp_directory_size=f"{int(MAX_SPILL_SHARE * measure_free(spill_to))}B")
        database.set(threads=threads or min(os.cpu_count() or 1, MAX_THREADS))
        database.connection.execute("ATTACH ':memory:' AS scratch")
        with database.connection.cursor() as connection:
            connection.execute("USE scratch")
            yield connection
        # this fails while a result is still read: then the database is closed, which also removes what it spilled
        with suppress(duckdb.Error):
            database.connection.execute("DETACH scratch")
            database.set(temp_directory="")
            on_error.pop_all()
            _idle.append(database)


@contextmanager
def convert_memory_errors(spill_to: Path | None, memory_limit: str | None = None) -> Iterator[None]:
    """Raise DuckDB's errors of too little memory as one sentence; `spill_to` is where its queries spill.

    Raises:
        LakeError: a query needs more memory than it may use, or the disk is full.
    """
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:  # a reader of Arrow batches raises pyarrow's errors
        if is_disk_full(error):
            raise LakeError(
                f"A query can't spill to {spill_to or 'a disk'}: the disk is full; free some space and run it again."
            ) from error
        if "Out of Memory Error" not in str(error):
            raise
        raise LakeError(
            f"A query needs more than {memory_limit or MEMORY_LIMIT} of memory, and can't spill the rest to {spill_to or 'a disk'}: free some "
            'space there; if there is enough, a record is too large, and the option remote_data = "drop" of its account '
            "leaves the LMS's own records out."
        ) from error


def execute_file(connection: duckdb.DuckDBPyConnection, package: str, name: str) -> None:
    """Run the statements of a file of a package, as `execute_file(connection, "lms_pipeline.metrics", "sql/counts.sql")`."""
    for statement in _parse_file(package, name):
        connection.execute(statement)


@cache
def _parse_file(package: str, name: str) -> tuple[duckdb.Statement, ...]:
    """Parse a file once for all sessions: parsing takes a tenth of the metrics of a small account."""
    import duckdb

    return tuple(duckdb.extract_statements(load_sql(package, name)))


atexit.register(_parse_file.cache_clear)  # DuckDB prints a message about each statement that outlives the interpreter


@cache
def load_sql(package: str, name: str) -> str:
    """Return the text of a file of a package, as `load_sql("lms_pipeline.transform", "deduplicate.sql")`."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
