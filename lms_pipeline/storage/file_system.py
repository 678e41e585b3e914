"""The files of a bucket as a file system of fsspec, through which DuckDB and Arrow read them without a copy.

Belongs here: reading by address. Not here: the requests (`bucket.py`), and which files are read (`lake/`). Our own readers
need no `httpfs` and no second set of credentials: each request goes through the store.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

from lms_pipeline.storage.store import Store, StoredFile, StoreError

if TYPE_CHECKING:
    import duckdb


@contextmanager
def reading_files(connection: duckdb.DuckDBPyConnection, files: StoredFileSystem) -> Iterator[None]:
    """Let queries in the block read files by their addresses."""
    connection.register_filesystem(files)
    try:
        yield
    finally:
        connection.unregister_filesystem(files.protocol)


class StoredFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """The files of a store by their addresses, to read only.

    What a listing says of a file is kept, so that a file is opened without a request; one that is replaced later is an error
    of the store, and never a mixture of two contents.
    """

    cachable = False  # by fsspec, for all stores of the process

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._root = store.describe("key").removesuffix("key")
        self.protocol = self._root.partition("://")[0]
        self._known: dict[str, StoredFile] = {}

    def glob(self, path: str, **_: object) -> list[str]:
        """Return the addresses of the files that match a pattern, whose `*` stands for one folder or a part of it."""
        if "*" not in path:
            return [path]
        key = self._get_key(path)
        pattern = re.compile(re.escape(key).replace(r"\*", "[^/]*"))
        folder = key.partition("*")[0].rpartition("/")[0]
        found = {file.key: file for file in self._store.list_files(f"{folder}/") if pattern.fullmatch(file.key)}
        self._known.update(found)
        return [f"{self._root}{key}" for key in found]

    def open(self, path: str, *_: object, **__: object) -> io.IOBase:
        """Open a file to read it."""
        file = self._find(path)
        return StoredFileReader(self._store, file, lambda: self._known.pop(file.key, None))

    def exists(self, path: str, **_: object) -> bool:
        """Return whether a file is stored."""
        try:
            self._find(path)
        except FileNotFoundError:
            return False
        return True

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return address, size and kind of a file."""
        return {"name": path, "size": self._find(path).size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Return when a file was written."""
        return self._find(path).changed_at

    def _get_key(self, path: str) -> str:
        return path.removeprefix(self._root)

    def _find(self, path: str) -> StoredFile:
        key = self._get_key(path)
        file = self._known.get(key) or self._store.find(key)
        if file is None:
            raise FileNotFoundError(
                f"{path} is not there: run `lms-pipeline materialize --select warehouse`, which builds one of what is."
            )
        self._known[key] = file
        return file


class StoredFileReader(io.RawIOBase):
    """A stored file that is read by ranges: a request for each read."""

    def __init__(self, store: Store, file: StoredFile, forget: Callable[[], object]) -> None:
        """Read a file from its beginning; `forget` is called if it can't be read, since another may be stored now."""
        super().__init__()
        self._store, self._file, self._forget, self._position = store, file, forget, 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the place of the next read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, so many at most; all without a size."""
        left = max(0, self._file.size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        try:
            content = self._store.read_range(self._file, self._position, size) if size else b""
        except StoreError:
            self._forget()
            raise
        self._position += len(content)
        return content
