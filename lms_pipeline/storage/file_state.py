"""The state in files of one machine: locks of the operating system, JSON files, SQLite files.

Belongs here: which file has what, see `State`. Not here: the state of several machines (`postgres_state.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock, Timeout

from lms_pipeline.concurrency import wait
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.storage.damaged_files import build_lock, is_lock_held, set_aside, set_aside_folder
from lms_pipeline.storage.disk import atomic_write, convert_disk_errors, remove_file
from lms_pipeline.storage.file_rate_limit import FileRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit
from lms_pipeline.storage.state import REGISTRY, HeldError, HeldLock, RegistryEdit

LOCK = "lock"
"""The name of the file of a run's lock, in the folder of its name."""


class FileState:
    """The state in a folder, see `State`."""

    is_local: Final = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep other processes out of a context; see `State.lock`. The lock is the file `<name>.lock`."""
        lock = self._build_lock(self._folder / f"{name}.lock")
        with convert_disk_errors(self._folder / f"{name}.lock"):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def hold(self, name: str, run_id: str = "") -> Iterator[HeldLock]:  # noqa: ARG002 - for a database
        """Hold a lock of a run; see `State.hold`. The lock is the file `lock` in the folder of the name."""
        path = self._folder / name / LOCK
        lock = self._build_lock(path, blocking=False)
        with convert_disk_errors(path):
            try:
                lock.acquire()
            except Timeout:
                raise HeldError(f"Another process holds {path}: wait for it, and try again.") from None
        try:
            yield _HeldFile()
        finally:
            lock.release()

    def is_held(self, name: str) -> bool:
        """Return whether a process holds the lock of a run. A run that begins at this moment may be refused."""
        path = self._folder / name / LOCK
        with convert_disk_errors(path):
            return path.is_file() and is_lock_held(path)

    def read_note(self, name: str, consequence: str | None = None) -> bytes | None:
        """Return the content of a file; see `State.read_note`."""
        path = self._folder / name
        if consequence is None:
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None
            except OSError:
                return b""
        with convert_disk_errors(path):
            set_aside_folder(path, consequence)
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write_note(self, name: str, content: bytes) -> None:
        """Replace a file."""
        with atomic_write(self._folder / name) as new:
            new.write_bytes(content)

    def remove_note(self, name: str, consequence: str) -> None:
        """Remove a file; see `State.remove_note`."""
        remove_file(self._folder / name, consequence)

    def set_aside_note(self, name: str, reason: str, consequence: str) -> None:
        """Rename a damaged file, and log a warning."""
        path = self._folder / name
        with convert_disk_errors(path):
            set_aside(path, reason, consequence)

    def find_notes(self, pattern: str) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of files; see `State.find_notes`. No folder that does not fit is looked at."""
        for path in sorted(self._folder.glob(pattern)):
            name = path.relative_to(self._folder).as_posix()
            if (content := self.read_note(name)) is not None:
                yield name, content

    def remove_old(self, before: datetime) -> None:
        """Do nothing."""

    def open_limiter(self, name: str, limit: RateLimit, sleep: Callable[[float], None] = wait) -> FileRateLimiter:
        """Return the limiter whose calls are in `budgets/<name>.sqlite`."""
        return FileRateLimiter(self._folder / "budgets" / f"{name}.sqlite", limit, sleep)

    def describe(self, name: str) -> str:
        """Return the path of a file."""
        return str(self._folder / name)

    def read_registry(self, account_id: str | None = None) -> bytes | None:  # noqa: ARG002 - it is one file
        """Return the content of `accounts.json`.

        Raises:
            LmsPipelineError: it can't be read.
        """
        path = self._folder / REGISTRY
        if not path.exists():
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise LmsPipelineError(f"The registry {path} can't be read: {error.strerror}.") from None

    @contextmanager
    def edit_registry(self, account_id: str | None = None) -> Iterator[RegistryEdit]:  # noqa: ARG002 - it is one file
        """Change `accounts.json`, which is written as a whole; see `State.edit_registry`."""
        with self.lock("accounts"):
            edit = RegistryEdit(self.read_registry())
            yield edit
            self.write_note(REGISTRY, msgspec.json.format(b"[%b]" % b",".join(edit.documents.values())))

    def _build_lock(self, path: Path, *, blocking: bool = True) -> FileLock:
        with convert_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return build_lock(path, blocking=blocking)


class _HeldFile:
    """A lock of the operating system, which is held until its file is closed."""

    def check(self, after_seconds: float = 0.0) -> None:
        """Do nothing."""
