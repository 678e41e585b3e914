"""The files of the warehouse's views in a bucket, while the views are defined: each is empty, with the columns of its table.

Belongs here: what DuckDB opens to learn the columns of a view. Not here: the files themselves (`storage/file_system.py`).
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.roll_up import describe_roll_up
from lms_pipeline.storage.file_system import StoredFileSystem
from lms_pipeline.storage.store import StoredFile
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.schema import arrow_schema

_FOLDERS = ("account_id=any", "snapshot_date=2000-01-01")


class EmptyFileSystem(StoredFileSystem):
    """Shows an empty file at each address, and one for each pattern: a build needs no request to define a view."""

    def __init__(self, data: DataDir) -> None:
        super().__init__(data.store)
        self._data = data

    def glob(self, path: str, **_: object) -> list[str]:
        """Return one address that matches a pattern."""
        *parents, account, day, name = path.split("/")
        found = [example if part == "*" else part for part, example in zip((account, day), _FOLDERS, strict=True)]
        return ["/".join((*parents, *found, name))]

    def open(self, path: str, *_: object, **__: object) -> io.BytesIO:
        """Open an empty file."""
        return io.BytesIO(self._write(path))

    def _find(self, path: str) -> StoredFile:
        return StoredFile(self._get_key(path), len(self._write(path)), changed_ns=0, number=0)

    def _write(self, path: str) -> bytes:
        folder, table, *_ = Path(self._get_key(path)).parts
        return _write_empty(table, is_rolled_up=folder == self._data.roll_ups.name)


@cache
def _write_empty(table: str, *, is_rolled_up: bool) -> bytes:
    """Return a file without rows of a table."""
    described = describe_roll_up(TABLES[table]) if is_rolled_up else TABLES[table]
    with io.BytesIO() as empty:
        pq.write_table(arrow_schema(described).empty_table(), empty)
        return empty.getvalue()
