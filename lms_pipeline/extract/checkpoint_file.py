"""The SQLite file of a checkpoint: opening it, its transactions, and what its errors mean.

Belongs here: the file and its threads. Not here: attempts and the responses in them (`checkpoint.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Self

from lms_pipeline.concurrency import CombinedCalls
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.storage.damaged_files import is_database_damage

_COLUMNS = {
    "attempts": "id, plan, started_at, last_at, requests, circumstances, is_finished",
    "refused": "attempt",
    "answers": "attempt, key, status, received_at, size, body",
}
"""The columns that this version reads: a file without one is damaged."""


class CheckpointError(LmsPipelineError):
    """The stored responses can't be read or written."""


class DamagedCheckpointError(CheckpointError):
    """The file with the stored responses is damaged."""


class CheckpointFile:
    """The file of an account and day. Threads may share it.

    Raises:
        DamagedCheckpointError: the file is damaged, here or in any use.
        CheckpointError: it can't be read or written for another reason.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self.changes = CombinedCalls(self.writing)  # those of threads that wait are committed together
        with self._convert_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _connect(path)

    def __str__(self) -> str:
        """Return its path."""
        return str(self._path)

    def __enter__(self) -> Self:
        """Return the checkpoint."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, after other threads have finished with it."""
        with self._lock:
            self._file.close()

    def shrink(self) -> None:
        """Give the space of deleted responses back to the disk."""
        with self.reading() as file:
            file.execute("VACUUM")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def count_changes(self) -> int:
        """Return the number of rows that were changed since it was opened: another number means other content."""
        with self.reading() as file:
            return file.total_changes

    def copy_to(self, path: Path) -> None:
        """Copy it as it is now to a new file; meanwhile other threads may write.

        Raises:
            CheckpointError: it can't be read, or the new file can't be written.
        """
        address = f"{self._path.absolute().as_uri()}?mode=rw"
        with self._convert_errors(), closing(sqlite3.connect(address, uri=True)) as file, closing(_create(path)) as new:
            file.backup(new)

    def remove(self) -> None:
        """Close the file and remove it."""
        self.close()
        with self._convert_errors():
            for path in self._path.parent.glob(f"{self._path.name}*"):
                path.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make the block one transaction."""
        with self._lock, self._convert_errors(), self._file:  # which commits, or rolls back what raises
            self._file.execute("BEGIN IMMEDIATE")
            yield self._file

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Keep other threads out while the block reads."""
        with self._lock, self._convert_errors():
            yield self._file

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            kind = DamagedCheckpointError if is_database_damage(error, self._path) else CheckpointError
            raise kind(
                f"The responses in {self._path} can't be stored or read: {error}; free space and run it again, "
                "or remove the file if it is damaged."
            ) from None


def _create(path: Path) -> sqlite3.Connection:
    """Create a database that is lost if the process dies: nothing is synced, and there is no journal."""
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA journal_mode = OFF")
    file.execute("PRAGMA synchronous = OFF")
    return file


def _connect(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    with ExitStack() as undo:
        undo.callback(file.close)
        file.row_factory = sqlite3.Row
        file.execute("PRAGMA journal_mode = WAL")
        # each response is a transaction: a power cut may lose the last ones, a kill loses none
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute("PRAGMA foreign_keys = ON")
        file.executescript(files(__package__).joinpath("checkpoint.sql").read_text(encoding="utf-8"))
        for table, columns in _COLUMNS.items():
            file.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608 (our own names)
        undo.pop_all()
    return file
