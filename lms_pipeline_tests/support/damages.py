"""Ways in which a file of the data directory may be damaged.

What reads the files belongs to the tests.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

GARBAGE = bytes(range(255, 0, -1)) * 40
SQLITE_HEADER = b"SQLite format 3\x00"


def _replace(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def truncate(path: Path) -> None:
    """Leave the first half, as a process does that died in writing."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def put_folder(path: Path) -> None:
    """Put a folder with a file in it in the place of a file."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    (path / "file").touch()


def drop_table(path: Path) -> None:
    """Give the first table other columns, as another program's database of the same name has."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in [name for name in tables if not name.startswith("sqlite_")]:
            database.execute(f"DROP TABLE {table}")
            database.execute(f"CREATE TABLE {table} (other TEXT)")


def overwrite_pages(path: Path) -> None:
    """Overwrite all pages but the first."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def damage_pages(path: Path) -> None:
    """Overwrite the pages of a Parquet file; its footer stays readable."""
    content = path.read_bytes()
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[:4] + b"\xff" * (len(content) - footer - 4) + content[-footer:])


TEXT_DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _replace(b""),
    "cut short": truncate,
    "random bytes": _replace(GARBAGE),
    "JSON of another type": _replace(json.dumps([1, {"a": [None]}]).encode()),
    "a folder": put_folder,
}
DATABASE_DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut short": truncate,
    "random bytes": _replace(GARBAGE),
    "a header and garbage": _replace(SQLITE_HEADER + GARBAGE),
    "JSON": _replace(json.dumps([1, {"a": [None]}] * 100).encode()),
    "tables of another program": drop_table,
    "overwritten pages": overwrite_pages,
    "a folder": put_folder,
}
