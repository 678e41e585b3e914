"""The index of what is published as a SQLite file in `LMS_DATA_DIR/state`, shared by the processes of one machine.

Belongs here: the file, its transactions and its errors, and which installations have it. Not here: the index of the others
(`index_postgres.py`), the statements (`index.py`), and when they are used (`index_sync.py`).
"""

from __future__ import annotations

import atexit
import errno
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.engine import load_sql
from lms_pipeline.lake.index import DamagedIndexError, PublicationIndex
from lms_pipeline.lake.index_postgres import IndexPostgres
from lms_pipeline.lake.paths import AnyPartition, DataDir
from lms_pipeline.storage.damaged_files import (
    DamagedDatabaseError,
    build_lock,
    is_database_damage,
    is_moved_database,
    open_database,
    set_aside,
)
from lms_pipeline.storage.disk import convert_disk_errors, is_disk_full, measure_free

LAYOUT_VERSION = 2
"""The version of the file's tables. Those of an earlier one are made again, and the index is built again. A file of a later
one is set aside."""
BUSY_TIMEOUT_SECONDS = 60
"""How long a statement waits for another process's transaction, which takes milliseconds."""
MIN_FREE_BYTES = 100_000
"""Free bytes of the disk below which an error of input and output is one of space."""
MAX_IDLE = 4
"""Files that stay open between two uses, of different data directories."""
CONSEQUENCE = "it is built again from the lake"

_idle: dict[tuple[int, Path], IndexFile] = {}
"""Files that stay open, by process and path: a process that forks must not use those of its parent."""


def open_index(data: DataDir, *, read_only: bool = False) -> PublicationIndex:
    """Return the index of what is published: in the database if the lake is in a bucket, else in a file beside the lake.

    With `read_only` no file is made or changed. The lake of one disk means nothing to other machines, so it is never in the
    database.

    Raises:
        LakeError: the file can't be opened.
    """
    database = data.storage.database
    if database is not None and not data.store.is_local:
        return IndexPostgres(database)
    return IndexFile(data.index, read_only=True) if read_only else IndexFile.reuse(data.index)


class IndexFile(PublicationIndex):
    """The index in a SQLite file."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file; a damaged one is set aside, and one that is missing is made.

        With `read_only`, nothing is made or changed.

        Raises:
            LakeError: it can't be opened.
        """
        self._path = path
        self._inode = 0
        with self._convert_errors():
            if read_only:
                self._file = _connect_read_only(path)
                return
            with convert_disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open_database(path, _connect, CONSEQUENCE)
                self._inode = path.stat().st_ino

    @classmethod
    def reuse(cls, path: Path) -> Self:
        """Return an index that this process has left open, else open it. Closing the last connection syncs the whole file.

        Raises:
            LakeError: it can't be opened.
        """
        idle = _idle.pop((os.getpid(), path), None)
        if isinstance(idle, cls) and idle.is_current():
            return idle
        if idle is not None:
            idle.close()
        return cls(path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the file open for the next use, if it is in order."""
        key = (os.getpid(), self._path)
        if kind is not None or not self._inode or key in _idle or len(_idle) >= MAX_IDLE:
            self.close()
        else:
            _idle[key] = self

    def is_current(self) -> bool:
        """Return whether the file that is open is the one with its name."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def begin(self, partition: AnyPartition, owner: str) -> None:
        """Note durably that files of a partition are about to change."""
        with self._convert_errors():
            self._file.execute("PRAGMA synchronous = FULL")  # the note outlasts a power cut, as the files do
        super().begin(partition, owner)
        with self._convert_errors():
            self._file.execute("PRAGMA synchronous = NORMAL")

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query."""
        return self._file.execute(_adapt(query), values).fetchall()

    def run(self, statement: str, *rows: Sequence[object]) -> None:
        """Execute a statement once for each row of values."""
        self._file.executemany(_adapt(statement), rows)

    @contextmanager
    def _reading(self) -> Iterator[Self]:
        with self._convert_errors():
            yield self

    @contextmanager
    def _writing(self, partitions: Sequence[AnyPartition] = ()) -> Iterator[Self]:  # noqa: ARG002 - the file has one lock
        with self._convert_errors(), self._file:  # which commits, or rolls back what raises
            self._file.execute("BEGIN IMMEDIATE")
            yield self

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_disk_full(error) or _lacks_space(error, self._path):
                raise LakeError(
                    f"{self._path} can't be written: the disk is full; free some space and run it again."
                ) from OSError(errno.ENOSPC, "No space left on device")
            if is_database_damage(error, self._path) or is_moved_database(error):
                reason = error
                raise DamagedIndexError(
                    f"{self._path} is damaged ({error}): run `lms-pipeline housekeeping --rebuild-index`.",
                    lambda: self._set_aside(reason),
                ) from error
            raise LakeError(
                f"{self._path} can't be used: {error}; check the disk of LMS_DATA_DIR, and who owns it."
            ) from error

    def _set_aside(self, reason: sqlite3.Error) -> None:
        """Set the file aside, unless another process has done it."""
        with convert_disk_errors(self._path), build_lock(self._path.with_suffix(".lock")):
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino != self._inode:
                    return
            set_aside(self._path, reason, CONSEQUENCE)


@atexit.register
def _close_idle() -> None:
    """Close the files of this process."""
    for (process, _), index in list(_idle.items()):
        if process == os.getpid():
            index.close()


@cache
def _adapt(statement: str) -> str:
    return statement.replace("lms.", "")


def _lacks_space(error: sqlite3.Error, path: Path) -> bool:
    """Return whether SQLite failed for lack of space: it names that an error of input and output where it maps the file."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and measure_free(path) < MIN_FREE_BYTES


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make its tables if it is new, or of an earlier version.

    Raises:
        sqlite3.Error: it can't be opened, or is damaged.
    """
    file = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        if _read_version(file) != LAYOUT_VERSION:
            _make_tables(file)
        file.execute("SELECT epoch, revision FROM index_state").fetchone()
    except sqlite3.Error:
        file.close()
        raise
    return file


def _make_tables(file: sqlite3.Connection) -> None:
    with file:
        file.execute("BEGIN IMMEDIATE")
        version = _read_version(file)  # another process may have made them
        if version == LAYOUT_VERSION:
            return
        if version > LAYOUT_VERSION:
            raise DamagedDatabaseError(f"its tables have version {version}")
        notes = file.execute("SELECT account, day, owner, began_at FROM pending").fetchall() if version else []
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            file.execute(f"DROP TABLE {name}")
        for statement in load_sql(__package__, "index_file.sql").split(";"):
            file.execute(statement)
        file.executemany("INSERT INTO pending_publications VALUES (?, ?, ?, ?)", notes)
        file.execute("INSERT INTO index_state (epoch, revision) VALUES (?, 0)", (uuid.uuid4().hex,))
        file.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")


def _read_version(file: sqlite3.Connection) -> int:
    ((version,),) = file.execute("PRAGMA user_version").fetchall()
    return int(version)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the file to read it; nothing is made."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1, isolation_level=None)
