"""DuckDB as a calculator over Parquet: one way to open it.

What belongs here: the connection and the loading of SQL that stands in files. The warehouse file is `lake/warehouse.py`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

MEMORY_LIMIT = "512MB"
"""What a query may hold before it spills to disk: flat, whatever the size of an account."""
_idle: list[duckdb.DuckDBPyConnection] = []
"""Databases in memory that wait for the next calculator: to open one takes 20 ms, and a run asks for fifty."""


@contextmanager
def duckdb_session(
    spill_to: Path | None = None, threads: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty in-memory database in UTC that spills to the folder `spill_to` past `MEMORY_LIMIT`.

    `threads` is how many it works with; else as many as the machine has cores. Nothing of it outlasts the block.
    """
    import duckdb

    try:
        database = _idle.pop()
    except IndexError:  # asked instead of looked at first, since another thread may take the last one
        database = duckdb.connect()
    with ExitStack() as otherwise:
        otherwise.callback(database.close)
        database.execute("SET memory_limit = $limit", {"limit": MEMORY_LIMIT})
        database.execute("SET temp_directory = $folder", {"folder": str(spill_to or "")})
        database.execute("RESET threads" if threads is None else f"SET threads = {threads:d}")
        database.execute("ATTACH ':memory:' AS calculation")
        with database.cursor() as connection:
            connection.execute("USE calculation; SET TimeZone = 'UTC'")
            yield connection
        if _emptied(database):
            otherwise.pop_all()
            _idle.append(database)


def _emptied(database: duckdb.DuckDBPyConnection) -> bool:
    """Whether nothing is left in it; what was spilled goes with the database alone."""
    import duckdb

    try:
        database.execute("DETACH calculation")
        database.execute("SET temp_directory = ''")
    except duckdb.Error:
        return False
    return True


@cache
def sql(package: str, name: str) -> str:
    """The text of the file `name` in `package`, for instance `sql("lms_pipeline.transform", "deduplicate.sql")`."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
