"""DuckDB as a calculator over Parquet: one way to open it.

What belongs here: the connection and the loading of SQL that stands in files. The warehouse file is `lake/warehouse.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

MEMORY_LIMIT = "512MB"
"""What a query may hold before it spills to disk: flat, whatever the size of an account."""


@contextmanager
def calculator(spill_to: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database in UTC that spills to the folder `spill_to` past `MEMORY_LIMIT`."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY_LIMIT}
    if spill_to is not None:
        config["temp_directory"] = str(spill_to)
    with duckdb.connect(config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@cache
def sql(package: str, name: str) -> str:
    """The text of the file `name` in `package`, for instance `sql("lms_pipeline.lake", "settle.sql")`."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
