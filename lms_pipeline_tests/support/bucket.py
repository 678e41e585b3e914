"""A bucket without a service: a store over a second folder, whose objects the data directory has copies of."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Final, Literal, TypeAlias

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.copies import add_copies, adding_copies
from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.opening import Storage, open_local_storage
from lms_pipeline.storage.store import PublishedByAnotherError, StoredFile, StoreError

Method: TypeAlias = Literal["DELETE", "GET", "HEAD", "LIST", "PUT"]

URL = "s3://bucket"
KEPT = ("lake", "lake_by_day", "answers", "details", "warehouse", "reports")
"""The folders of the data directory that a bucket has."""


class FolderBucket:
    """A store whose objects are files below a folder. It counts the requests that a bucket would get."""

    is_local: Final = False

    def __init__(self, scratch: Path, folder: Path) -> None:
        self._scratch, self._folder = scratch, folder
        self._objects = LocalStore(folder)
        add_copies(scratch, URL)
        self._lock = Lock()
        self.requests: Counter[Method] = Counter()
        self.log: list[tuple[Method, str]] = []
        """Each request with its key or prefix."""

    def describe(self, key: str) -> str:
        return f"{URL}/{key}"

    def find(self, key: str) -> StoredFile | None:
        self._count("HEAD", key)
        return self._find(key)

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        self._count("LIST", prefix)
        for file in self._objects.list_files(prefix):
            yield self._add_version(file)

    def list_folders(self, prefix: str) -> Sequence[str]:
        self._count("LIST", prefix)
        return self._objects.list_folders(prefix)

    def read_range(self, file: StoredFile, start: int, size: int) -> bytes:
        self._count("GET", file.key)
        found = self._objects.find(file.key)
        if found is None or self._add_version(found) != file:
            raise StoreError(f"{file.key} was replaced or removed.")
        return self._objects.read_range(found, start, size)

    def fetch(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._count("GET", key)
            local, stored = self._scratch / key, self._folder / key
            if not stored.exists():
                local.unlink(missing_ok=True)
            elif not local.exists() or local.read_bytes() != stored.read_bytes():
                _copy(stored, local)

    @contextmanager
    def fetch_apart(self, keys: Iterable[str]) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            for key in keys:
                self._count("GET", key)
                if (self._folder / key).exists():
                    _copy(self._folder / key, Path(folder, key))
            with adding_copies(Path(folder), URL):
                yield Path(folder)

    def publish(self, new: Path, key: str, seen: StoredFile | None) -> None:
        self._count("PUT", key)
        found = self._find(key)
        if (found.version if found else None) != (seen.version if seen else None):
            raise PublishedByAnotherError(f"Another run has published {key}.")
        _copy(new, self._folder / key)
        new.replace(self._scratch / key)

    def send(self, new: Path, key: str) -> None:
        self._count("PUT", key)
        _copy(new, self._folder / key)
        (self._scratch / key).parent.mkdir(parents=True, exist_ok=True)
        new.replace(self._scratch / key)

    def remove(self, key: str) -> None:
        self._count("DELETE", key)
        for root in (self._folder, self._scratch):
            (root / key).unlink(missing_ok=True)

    def _find(self, key: str) -> StoredFile | None:
        file = self._objects.find(key)
        return self._add_version(file) if file else None

    def _add_version(self, file: StoredFile) -> StoredFile:
        etag = hashlib.sha256((self._folder / file.key).read_bytes())
        return replace(file, number=int.from_bytes(etag.digest()[:8]), version=etag.hexdigest())

    def _count(self, method: Method, key: str) -> None:
        with self._lock:
            self.requests[method] += 1
            self.log.append((method, key))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.copy")
    shutil.copyfile(source, new)
    new.replace(target)


def open_in_bucket(scratch: Path, bucket: FolderBucket) -> DataDir:
    """Return a data directory whose files are kept in a bucket."""
    storage = open_local_storage(scratch)
    return DataDir(scratch, replace(storage, store=bucket) if isinstance(storage, Storage) else storage)


def wipe(scratch: Path) -> None:
    """Remove the local copies: the next step runs on another machine."""
    for name in KEPT:
        shutil.rmtree(scratch / name, ignore_errors=True)
