"""The store: where published files last, on the local disk or in a bucket.

Belongs here: the interface, what is known of a stored file, and its errors. Not here: the implementations
(`local_store.py`, `object_store.py`), and which files a lake has (`lake/paths.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lms_pipeline.errors import LakeError, StorageError

_SIGNATURE = struct.Struct("<QqQ")
SIGNATURE_BYTES = _SIGNATURE.size
"""Size of `StoredFile.signature`."""


class StoreError(StorageError):
    """The store can't be reached, or refuses what was requested. The same may succeed later."""


class UnsafeStoreError(LakeError):
    """The store can't hold this lake: it ignores conditions, has another one, or can't take a file of this size."""


class PublishedByAnotherError(StorageError):
    """Another run published the same file meanwhile: what is stored of it is not this run's."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored file, as a listing shows it: it is not opened for that."""

    key: str
    """The path relative to the data directory, as `lake/courses/account_id=a/snapshot_date=2026-01-31/data.parquet`."""
    size: int
    """In bytes."""
    changed_ns: int
    """When it was written, in nanoseconds since 1970."""
    number: int
    """The inode, or a hash of the version."""
    version: str = ""
    """What a conditional write names: the ETag of an object. Empty on a disk."""

    @property
    def signature(self) -> bytes:
        """Bytes that another content changes: size, time of change and number."""
        return pack_signature(self.size, self.changed_ns, self.number)

    @property
    def changed_at(self) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(self.changed_ns / 1e9, UTC)


def pack_signature(size: int, changed_ns: int, number: int) -> bytes:
    """Return the signature of a file with this size, time of change and number, see `StoredFile`."""
    return _SIGNATURE.pack(size, changed_ns, number % 2**64)


def unpack_signatures(signatures: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield size, time of change and number of signatures that follow each other; zeros where there is no file."""
    return _SIGNATURE.iter_unpack(signatures)


class Store(Protocol):
    """Keeps files by key. The folder of the data directory has a local file for each key that a run uses.

    On a disk the local file is the stored one: `fetch` does nothing. With a bucket the local file is a copy, which
    `fetch` makes equal to the object, and which may be lost between runs.

    All methods raise StoreError if the store can't be used, and LakeError if a local file can't be written.
    """

    @property
    def is_local(self) -> bool:
        """Whether the local files are the stored ones, which a person may change by hand."""

    def describe(self, key: str) -> str:
        """Return where a file is, for people and other programs: a path, or a URI like `s3://bucket/prefix/key`."""

    def find(self, key: str) -> StoredFile | None:
        """Return what is stored under a key; None if nothing is."""

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the stored files whose key begins with a folder, which ends with `/`, in the order of keys."""

    def list_folders(self, prefix: str) -> Sequence[str]:
        """Return the names of the folders directly below a folder, which ends with `/`, in order."""

    def read_range(self, file: StoredFile, start: int, size: int) -> bytes:
        """Return bytes of a stored file, from `start` on. It is not fetched.

        Raises:
            StoreError: it was replaced or removed since it was found.
        """

    def fetch(self, keys: Iterable[str]) -> None:
        """Make the local files of keys equal to what is stored; a copy of which nothing is stored is removed."""

    def fetch_apart(self, keys: Iterable[str]) -> AbstractContextManager[Path]:
        """Return a context with a folder that has the files of keys, which may be many, by their keys.

        On a disk it is the data directory. With a bucket the files are copies that no other run uses, and end with the context.
        """

    def publish(self, new: Path, key: str, seen: StoredFile | None) -> None:
        """Make a new local file the stored one, in one step, if what is stored is still what the caller saw.

        On a disk this is a rename: a lock keeps others out, and `seen` does not count. After it, `new` is the local file of the
        key. `seen` is what `find` returned when the caller began: in some clouds a listing does not have the whole version.

        Raises:
            PublishedByAnotherError: another run has published the key since; nothing was stored.
            UnsafeStoreError: the store can't hold this lake, or this file.
        """

    def send(self, new: Path, key: str) -> None:
        """Make a new local file the stored one, whatever is stored: for files that only the holder of a lock writes.

        After it, `new` is the local file of the key. Before, nobody else knows it: another process may fetch the key.

        Raises:
            UnsafeStoreError: the store can't hold this lake.
        """

    def remove(self, key: str) -> None:
        """Remove a stored file and its local copy; missing is no error."""
