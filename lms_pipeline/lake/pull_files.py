"""Files that a pull leaves for later runs: the stored responses and the roster fingerprints of an account and day.

Belongs here: finding them on a disk or in a bucket, and the way of a checkpoint into a bucket and back. Not here: their
content (`extract/checkpoint.py`, `snapshot/previous.py`), and when a checkpoint is sent (`extract/checkpoint_copies.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lms_pipeline.lake.paths import (
    CHECKPOINTS_FOLDER,
    FINGERPRINTS_FOLDER,
    DataDir,
    Partition,
    find_partition_paths,
    parse_folder,
)
from lms_pipeline.storage.damaged_files import list_companions
from lms_pipeline.storage.disk import convert_disk_errors, measure_size, replace_file

MARK_SUFFIX = ".stored"
NOTHING = "nothing"
"""The version of an object that does not exist."""


@dataclass(frozen=True, slots=True)
class CheckpointPlace:
    """Where a checkpoint is kept, which only the holder of its partition's lock writes.

    On a disk `path` is the stored file, and stays. With a bucket it is this machine's: SQLite writes it all the time, so that
    copies of it are stored.
    """

    data: DataDir
    path: Path
    """Where a run reads and writes it."""
    key: str
    """Its key in a bucket."""

    @classmethod
    def of(cls, data: DataDir, partition: Partition, *, lists_only: bool = False) -> Self:
        """Return the place of the responses of an account and day."""
        path = data.checkpoint_path(partition, lists_only=lists_only)
        return cls(data, path, data.checkpoint_key(partition, lists_only=lists_only))

    def fetch(self) -> bool:
        """Make the local file what is stored, and return True; unless only this machine has changed it since, or on a disk.

        Where nothing is stored, a local file that once was is removed. The caller holds the partition's lock.

        Raises:
            StoreError: the store can't be used.
            LakeError: the local file can't be written.
        """
        if self.data.store.is_local:
            return False
        stored, mark = self._read_stored_version(), self._read_mark()
        if self.path.exists() and stored and (mark == stored or (stored == NOTHING and not mark)):
            return False
        copy = self._copy
        with convert_disk_errors(self.path):
            copy.unlink(missing_ok=True)  # a killed run left it
            if stored != NOTHING:
                self.data.store.fetch([self.key])
            self.remove_local()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if copy.exists():
                replace_file(copy, self.path)
            self._mark.write_text(stored, encoding="utf-8")
        return True

    @contextmanager
    def sending(self) -> Iterator[Path]:
        """Yield the path of a new file, which is stored when the block ends. Not for a store on the disk.

        Raises:
            StoreError: the store can't be used.
            LakeError: the new file can't be written.
        """
        copy = self._copy
        with convert_disk_errors(copy):
            copy.with_name(f"{copy.name}.new").unlink(missing_ok=True)  # a killed run left it
            try:
                with self.data.replacing(copy) as new:
                    yield new
                self._mark.write_text(self._read_stored_version(), encoding="utf-8")
            finally:
                copy.unlink(missing_ok=True)

    def remove_local(self) -> None:
        """Remove the local file, of which the store has all; on a disk that is the stored one, and stays."""
        if not self.data.store.is_local:
            for path in (self.path, self._mark, *list_companions(self.path)):
                path.unlink(missing_ok=True)

    def _read_stored_version(self) -> str:
        """Return the version of what is stored, `NOTHING`, or an empty text if the store names no version."""
        found = self.data.store.find(self.key)
        return NOTHING if found is None else found.version

    def _read_mark(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return self._mark.read_text(encoding="utf-8")
        return ""

    @property
    def _copy(self) -> Path:
        """The local copy of the key, which exists while it is fetched or sent."""
        return self.data.root / self.key

    @property
    def _mark(self) -> Path:
        """The file with the version that this machine fetched, or sent last."""
        return self.path.with_name(f"{self.path.name}{MARK_SUFFIX}")


@dataclass(frozen=True, slots=True)
class FoundPullFile:
    """A file that a pull left, or one beside it, which `remove_pull_file` removes."""

    partition: Partition
    path: Path
    """The file on this machine; of one in a bucket the local file of its key, which need not exist."""
    bytes: int


def remove_pull_file(data: DataDir, path: Path) -> None:
    """Remove a file that was found. One that a bucket never has is removed without a request, which would leave a marker there.

    Raises:
        StoreError: the store can't be used.
        LakeError: the local file can't be removed.
    """
    if not data.store.is_local and _is_of_this_machine(path):
        with convert_disk_errors(path):
            path.unlink(missing_ok=True)
    else:
        data.store.remove(data.get_key(path))


def describe_pull_file(data: DataDir, path: Path) -> str:
    """Return where a file is that was found, as `DataDir.describe`."""
    return str(path) if _is_of_this_machine(path) else data.describe(path)


def _is_of_this_machine(path: Path) -> bool:
    """Return whether a path is that of a working file: it has the account first, and a key of a bucket the day."""
    return path.parent.name.startswith("account_id=")


def find_responses(data: DataDir, account_id: str | None = None) -> Iterator[FoundPullFile]:
    """Yield the files with responses, of one account or of all, and those beside them; earlier days of an account come first."""
    return _find(data, data.checkpoints, CHECKPOINTS_FOLDER, account_id)


def find_fingerprints(data: DataDir, account_id: str | None = None) -> Iterator[FoundPullFile]:
    """Yield the files with roster fingerprints, of one account or of all; earlier days of an account come first."""
    return _find(data, data.fingerprints, FINGERPRINTS_FOLDER, account_id)


def find_pull_files(data: DataDir, partition: Partition) -> list[Path]:
    """Return the paths of responses and roster fingerprints of one account and day, as `FoundPullFile.path`."""
    responses = data.checkpoint_path(partition)
    keys = [data.get_key(data.fingerprints_path(partition))]
    if not data.store.is_local:
        keys += [data.checkpoint_key(partition, lists_only=lists_only) for lists_only in (False, True)]
    found = (data.root / key for key in keys if data.store.find(key) is not None)
    return [*sorted(responses.parent.glob(f"{responses.stem}.*")), *found]


def _find(data: DataDir, root: Path, folder: str, account_id: str | None) -> Iterator[FoundPullFile]:
    for partition, path in find_partition_paths(root, account_id):
        yield FoundPullFile(partition, path, measure_size(path))
    if data.store.is_local:
        return
    for day in data.store.list_folders(f"{folder}/"):
        for file in data.store.list_files(f"{folder}/{day}/"):
            stored = parse_folder(Path(file.key.rpartition("/")[2].partition(".")[0], day))
            if stored is not None and account_id in {None, stored.account_id}:
                yield FoundPullFile(stored, data.root / file.key, file.size)
