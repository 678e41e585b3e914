"""The store in a bucket: objects last, and the data directory has local copies of those that a run uses.

Belongs here: `Store` over a bucket, and when a local copy is made, replaced and removed. Not here: the requests
(`bucket.py`), the record of copies (`mirror.py`), failures of a publication (`conditional_write.py`).
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.storage.bucket import Bucket, Download, NotChangedError
from lms_pipeline.storage.conditional_write import MAX_BYTES, write_if_unchanged
from lms_pipeline.storage.copies import add_copies, adding_copies
from lms_pipeline.storage.damaged_files import remove_path
from lms_pipeline.storage.disk import convert_disk_errors
from lms_pipeline.storage.mirror import Mirror
from lms_pipeline.storage.store import StoredFile, UnsafeStoreError
from lms_pipeline.storage.store_marker import MARKER_KEY, check_store, is_marked

MAX_REQUESTS: Final = 16
"""Requests of one `fetch` at the same time."""
MAX_UNUSED_SECONDS: Final = 2 * 86_400
"""The age from which a copy is removed that no run used: a pull lasts a day at most."""
SECONDS_BETWEEN_REMOVALS: Final = 3_600.0
"""How often a process looks for such copies."""
NOT_STORED: Final = ".not_stored"
"""Ends the name of a local file that was found instead of a copy, and of which nothing is stored. It stays until the key is
stored again, and for `MAX_UNUSED_SECONDS` at most: it may have names and e-mails."""

log = logging.getLogger(__name__)


class ObjectStore:
    """The store in a bucket, see `Store`. Threads and processes may share the data directory."""

    is_local: Final = False

    def __init__(self, root: Path, bucket: Bucket, is_demo: Callable[[], bool]) -> None:
        """Describe the store; `is_demo` says whether the data directory is the demo's."""
        self._root = root
        self._bucket = bucket
        self._is_demo = is_demo
        self._mirror = Mirror(root, bucket.url)
        add_copies(root, bucket.url)
        self._unfinished = root / "state" / "fetching"
        self._lock = threading.Lock()
        self._is_checked = self._is_marked = False
        self._removed_unused_at = -SECONDS_BETWEEN_REMOVALS

    def describe(self, key: str) -> str:
        """Return the address of an object."""
        return self._bucket.describe(key)

    def find(self, key: str) -> StoredFile | None:
        """Return what is stored under a key; None if nothing is."""
        return self._bucket.find(key)

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the objects below a folder, in the order of keys. If it fails in the middle, StoreError follows."""
        return self._bucket.list_files(prefix)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """Return the names of the folders directly below a folder, in order."""
        return self._bucket.list_folders(prefix)

    def read_range(self, file: StoredFile, start: int, size: int) -> bytes:
        """Return bytes of an object, without a local copy.

        Raises:
            StoreError: it was replaced or removed since it was found.
        """
        return self._bucket.read_range(file, start, size)

    def fetch(self, keys: Iterable[str]) -> None:
        """Make the local copies of keys equal to the objects: one request each, without content where nothing changed.

        Raises:
            LakeError: a local copy can't be written.
        """
        distinct = list(dict.fromkeys(keys))
        self._remove_unused()
        versions = self._mirror.find_versions(distinct)
        fetched: dict[str, tuple[bytes, str]] = {}
        gone: list[str] = []

        def fetch_one(key: str) -> None:
            try:
                download = self._bucket.get(key, versions.get(key, ""))
            except NotChangedError:
                return
            if download is None:
                self._remove_stale(key)
                gone.append(key)
            else:
                fetched[key] = (self._write_copy(self._root / key, download), download.stored.version)

        try:
            _do_at_once(fetch_one, distinct)
        finally:
            self._record(fetched, gone)

    @contextmanager
    def fetch_apart(self, keys: Iterable[str]) -> Iterator[Path]:
        """Yield a folder with copies of the objects, which end with the block.

        Raises:
            LakeError: a copy can't be written.
        """
        folder = self._unfinished / uuid.uuid4().hex

        def fetch_one(key: str) -> None:
            if (download := self._bucket.get(key)) is not None:
                self._write_copy(folder / key, download)

        try:
            _do_at_once(fetch_one, list(dict.fromkeys(keys)))
            with adding_copies(folder, self._bucket.url):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, new: Path, key: str, seen: StoredFile | None) -> None:
        """Store a new file if the object is still what the caller saw; then it is the local copy.

        Raises:
            PublishedByAnotherError: another run has published the key since; nothing was stored.
            UnsafeStoreError: the bucket can't hold this lake, or this file.
            LakeError: the local copy can't be written.
        """
        self._check()
        self._keep(new, key, write_if_unchanged(self._bucket, new, key, seen))

    def send(self, new: Path, key: str) -> None:
        """Store a new file, whatever is stored; then it is the local copy.

        Raises:
            UnsafeStoreError: the bucket can't hold this lake.
            LakeError: the new file can't be read, or the local copy can't be written.
        """
        self._check()
        with convert_disk_errors(new):
            size = new.stat().st_size
        self._keep(new, key, self._bucket.overwrite(key, new, use_multipart=size > MAX_BYTES))

    def remove(self, key: str) -> None:
        """Remove an object and its local copy; missing is no error.

        Raises:
            UnsafeStoreError: the bucket holds other data than ours: nothing is removed from it.
            LakeError: the local copy can't be removed.
        """
        if self._is_ours():
            self._bucket.remove(key)
        elif self._bucket.find(key) is not None:
            raise UnsafeStoreError(
                f"{self.describe(key)} stays, since {self.describe(MARKER_KEY)}, the marker of a lake, is missing: check "
                "LMS_LAKE_URL; in the right bucket the next pull writes the marker."
            )
        self._remove_copy(key)
        self._record({}, [key])

    def _check(self) -> None:
        """Check before the first write that the bucket is one for these data, and refuses what it should.

        Raises:
            UnsafeStoreError: it is not, or it does not.
        """
        with self._lock:
            if not self._is_checked:
                check_store(self._bucket, self._mirror, is_demo=self._is_demo())
                self._is_checked = True

    def _is_ours(self) -> bool:
        """Return whether the bucket has the marker of a lake like this one, which is read once.

        Raises:
            UnsafeStoreError: it has that of another one.
        """
        with self._lock:
            self._is_marked = (
                self._is_checked or self._is_marked or is_marked(self._bucket, self._mirror, is_demo=self._is_demo())
            )
            return self._is_marked

    def _remove_unused(self) -> None:
        """Remove the copies that no run used for two days, hourly: the disk would end up with the whole lake."""
        with self._lock:
            now = time.monotonic()
            if now - self._removed_unused_at < SECONDS_BETWEEN_REMOVALS:
                return
            self._removed_unused_at = now
        self._mirror.remove_unused(MAX_UNUSED_SECONDS)
        for path in self._unfinished.glob("*"):  # of processes that were killed
            with convert_disk_errors(path), suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > MAX_UNUSED_SECONDS:
                    remove_path(path)

    def _keep(self, new: Path, key: str, version: str) -> None:
        """Make a file that was stored the local copy. It is recorded first: other processes take an unrecorded file for no copy."""
        target = self._root / key
        with convert_disk_errors(target):
            if (signature := self._mirror.sign(new)) is not None:
                self._record({key: (signature, version)}, [])
            target.parent.mkdir(parents=True, exist_ok=True)
            new.replace(target)
            target.with_name(f"{target.name}{NOT_STORED}").unlink(missing_ok=True)

    def _write_copy(self, target: Path, download: Download) -> bytes:
        """Replace a copy in one step; return its signature."""
        new = self._unfinished / uuid.uuid4().hex
        with convert_disk_errors(target):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with new.open("wb") as file:
                    for chunk in download.chunks:
                        file.write(chunk)
                signature = self._mirror.sign(new)
                new.replace(target)
            finally:
                new.unlink(missing_ok=True)
        return signature or b""

    def _remove_stale(self, key: str) -> None:
        """Remove the local copy of an object that is gone. A file that is no copy is kept under another name."""
        path = self._root / key
        with convert_disk_errors(path), suppress(FileNotFoundError):
            if self._mirror.is_copy(key):
                path.unlink()
            elif path.exists():
                kept = path.with_name(f"{path.name}{NOT_STORED}")
                path.replace(kept)
                self._record({f"{key}{NOT_STORED}": (self._mirror.sign(kept) or b"", NOT_STORED)}, [])
                log.warning(
                    "%s is not stored, and %s is no copy of it: it is now %s, for two days.",
                    self.describe(key),
                    path,
                    kept,
                )

    def _remove_copy(self, key: str) -> None:
        path = self._root / key
        with convert_disk_errors(path):
            path.unlink(missing_ok=True)

    def _record(self, copies: dict[str, tuple[bytes, str]], gone: Sequence[str]) -> None:
        known = {key: copy for key, copy in copies.items() if copy[1]}
        if known:
            self._mirror.store(known)
        if gone:
            self._mirror.forget(gone)


def _do_at_once(function: Callable[[str], None], keys: Sequence[str]) -> None:
    """Call a function that sends requests for each key, in threads if they are many."""
    if len(keys) == 1:
        function(keys[0])
    elif keys:
        for _ in map_in_order(function, keys, min(MAX_REQUESTS, len(keys))):
            pass
