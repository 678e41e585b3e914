"""Connections to the file of the index.

Belongs here: opening it, and errors for lack of space. Not here: its statements (`index_file.py`).
"""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

from lms_pipeline.lake.engine import load_sql
from lms_pipeline.storage.damaged_files import DamagedDatabaseError
from lms_pipeline.storage.disk import measure_free

LAYOUT_VERSION = 1
"""The version of the file's tables. A file of another version is set aside, and the index is built again."""
BUSY_TIMEOUT_SECONDS = 60
"""How long a statement waits for another process's transaction, which takes milliseconds."""
MIN_FREE_BYTES = 100_000
"""Free bytes of the disk below which an error of input and output is one of space."""


def lacks_space(error: sqlite3.Error, path: Path) -> bool:
    """Return whether SQLite failed for lack of space: it names that an error of input and output where it maps the file."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and measure_free(path) < MIN_FREE_BYTES


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make its tables if it is new.

    Raises:
        sqlite3.Error: it can't be opened, or is damaged.
    """
    file = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        if version not in {0, LAYOUT_VERSION}:
            raise DamagedDatabaseError(f"its tables have version {version}")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            file.executescript(f"BEGIN IMMEDIATE; {load_sql(__package__, 'index.sql')} COMMIT;")
            file.execute("INSERT OR IGNORE INTO state VALUES (1, ?, 0)", (uuid.uuid4().hex,))
            file.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")
        file.execute("SELECT epoch, revision FROM state").fetchone()
    except sqlite3.Error:
        file.close()
        raise
    return file


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the file to read it; nothing is made."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1, isolation_level=None)
