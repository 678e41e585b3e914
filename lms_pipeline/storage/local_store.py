"""The store on the local disk: a stored file is a file below the data directory, and publishing it is a rename.

Belongs here: the store of an installation on one machine. Not here: a bucket (`object_store.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lms_pipeline.errors import LakeError
from lms_pipeline.storage.damaged_files import set_aside_folder
from lms_pipeline.storage.disk import convert_disk_errors, replace_file, sync
from lms_pipeline.storage.store import StoredFile, StoreError

_NO_FOLDER = (FileNotFoundError, NotADirectoryError)
"""Why there is nothing at a path."""


class LocalStore:
    """The store in a folder, see `Store`."""

    is_local: Final = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def describe(self, key: str) -> str:
        """Return the path of a file."""
        return str(self._root / key)

    def find(self, key: str) -> StoredFile | None:
        """Return what is stored under a key; None if nothing is.

        Raises:
            LakeError: this user may not look there.
        """
        path = self._root / key
        with convert_disk_errors(path, "read"), suppress(*_NO_FOLDER):
            return _build_stored_file(key, path.stat())
        return None

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files below a folder, in the order of keys.

        Raises:
            LakeError: this user may not look into a folder.
        """
        yield from sorted(_walk(self._root / prefix, prefix), key=lambda file: file.key)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """Return the names of the folders directly below a folder, in order; none if this user may not look into it.

        Raises:
            LakeError: the disk can't be read.
        """
        folder = self._root / prefix
        no_folder = (*_NO_FOLDER, PermissionError)  # such as `lost+found`
        with convert_disk_errors(folder, "read"), suppress(*no_folder), os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
        return []

    def read_range(self, file: StoredFile, start: int, size: int) -> bytes:
        """Return bytes of a file.

        Raises:
            StoreError: it was replaced or removed since it was found.
            LakeError: it can't be read.
        """
        path = self._root / file.key
        try:
            with path.open("rb") as opened:
                if _build_stored_file(file.key, os.fstat(opened.fileno())).signature != file.signature:
                    raise StoreError(f"{path} can't be read: it was replaced meanwhile; try again.")
                opened.seek(start)
                return opened.read(size)
        except FileNotFoundError:
            raise StoreError(f"{path} can't be read: it was removed meanwhile; try again.") from None
        except OSError as error:
            raise LakeError(f"{path} can't be read: {error.strerror}.") from error

    def fetch(self, keys: Iterable[str]) -> None:
        """Do nothing: the local files are the stored ones."""

    @contextmanager
    def fetch_apart(self, keys: Iterable[str]) -> Iterator[Path]:  # noqa: ARG002 - it has all files
        """Yield the data directory: the local files are the stored ones."""
        yield self._root

    def publish(self, new: Path, key: str, seen: StoredFile | None) -> None:  # noqa: ARG002 - a lock keeps others out
        """Rename a new file to that of a key.

        Raises:
            LakeError: it can't be renamed.
        """
        target = self._root / key
        with convert_disk_errors(target):
            replace_file(new, target)

    def send(self, new: Path, key: str) -> None:
        """Rename a new file to that of a key, once its content is on the disk. A folder in its place is set aside.

        Raises:
            LakeError: it can't be renamed.
        """
        target = self._root / key
        with convert_disk_errors(target):
            sync(new)
            set_aside_folder(target, "it is written again")
            replace_file(new, target)

    def remove(self, key: str) -> None:
        """Remove a file; missing is no error.

        Raises:
            LakeError: it can't be removed.
        """
        path = self._root / key
        with convert_disk_errors(path):
            path.unlink(missing_ok=True)


def _walk(folder: Path, prefix: str) -> Iterator[StoredFile]:
    with convert_disk_errors(folder, "read"), suppress(*_NO_FOLDER), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it was removed meanwhile
                if entry.is_dir():
                    yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
                elif entry.is_file():
                    yield _build_stored_file(f"{prefix}{entry.name}", entry.stat())


def sign_file(path: Path) -> bytes:
    """Return the signature of a file on this machine, as that of a stored file: size, time of change and inode."""
    return _build_stored_file("", path.stat()).signature


def _build_stored_file(key: str, status: os.stat_result) -> StoredFile:
    return StoredFile(key, status.st_size, status.st_mtime_ns, status.st_ino)
