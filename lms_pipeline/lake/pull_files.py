"""Files that a pull leaves for later runs: the stored responses and the roster fingerprints of an account and day.

Belongs here: finding, fetching, sending and removing them, on a disk or in a bucket. Not here: their content
(`extract/checkpoint.py`, `snapshot/previous.py`), and when responses are sent (`extract/checkpoint_copies.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lms_pipeline.lake.paths import DataDir, Partition, check_account_id, parse_folder
from lms_pipeline.storage.damaged_files import list_companions
from lms_pipeline.storage.disk import atomic_write, convert_disk_errors, measure_size, replace_file

RESPONSES_FOLDER = "answers"
FINGERPRINTS_FOLDER = "details"
SENT_SUFFIX = ".sent"


@dataclass(frozen=True, slots=True)
class PullFile:
    """A file of an account and day that only the holder of the partition's lock writes.

    On a disk `path` is the stored file, and the methods do nothing. In a bucket the key begins with the day, so that a
    listing finds all accounts of a day; `path` is then a copy that only this machine has.
    """

    data: DataDir
    path: Path
    """Where a run reads and writes it."""
    key: str
    """Its key in a bucket."""

    def fetch(self) -> None:
        """Make the local file what is stored; where nothing is, it is removed. The caller holds the partition's lock.

        Raises:
            StoreError: the store can't be used.
            LakeError: the local file can't be written.
        """
        if self.data.store.is_local:
            return
        copy = self._copy
        with convert_disk_errors(self.path):
            copy.unlink(missing_ok=True)  # a killed run left it
            self.data.store.fetch([self.key])
            self.remove_local()
            if copy.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(copy, self.path)

    @contextmanager
    def sending(self) -> Iterator[Path]:
        """Yield the path of a new file, which is stored when the block ends. Not for a store on the disk.

        Raises:
            StoreError: the store can't be used.
            LakeError: the new file can't be written.
        """
        copy = self._copy
        with convert_disk_errors(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            try:
                yield copy
                self.data.store.send(self.key)
                self._sent_mark.write_text(self._read_stored_version(), encoding="utf-8")
            finally:
                copy.unlink(missing_ok=True)

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Yield the path of a new file, which replaces the stored one when the block ends.

        Raises:
            StoreError: the store can't be used.
            LakeError: the new file can't be written.
        """
        with atomic_write(self.path) if self.data.store.is_local else self.sending() as new:
            yield new

    def continues_stored(self) -> bool:
        """Return whether the local file was changed on this machine only since it was sent: it has all that is stored.

        Raises:
            StoreError: the store can't be used.
        """
        with suppress(OSError, UnicodeDecodeError):
            sent = self._sent_mark.read_text(encoding="utf-8")
            return self.path.exists() and sent != "" and sent == self._read_stored_version()
        return False

    def remove_local(self) -> None:
        """Remove the local file, of which the store has all; on a disk that is the stored one, and stays."""
        if not self.data.store.is_local:
            for path in (self.path, self._sent_mark, *list_companions(self.path)):
                path.unlink(missing_ok=True)

    def _read_stored_version(self) -> str:
        found = self.data.store.find(self.key)
        return "" if found is None else found.version

    @property
    def _copy(self) -> Path:
        """The local file of the key, which exists while it is fetched or sent."""
        return self.data.root / self.key

    @property
    def _sent_mark(self) -> Path:
        """The file with the version of the object that was last sent from this machine."""
        return self.path.with_name(f"{self.path.name}{SENT_SUFFIX}")


def describe_checkpoint(data: DataDir, partition: Partition, *, lists_only: bool = False) -> PullFile:
    """Return where the responses of an account and day are."""
    path = data.checkpoint_path(partition, lists_only=lists_only)
    return PullFile(data, path, _build_key(RESPONSES_FOLDER, partition, ".lists.sqlite" if lists_only else ".sqlite"))


def describe_fingerprints(data: DataDir, partition: Partition) -> PullFile:
    """Return where the roster fingerprints of an account and day are."""
    return PullFile(data, data.fingerprints_path(partition), _build_key(FINGERPRINTS_FOLDER, partition, ".parquet"))


def _build_key(folder: str, partition: Partition, suffix: str) -> str:
    return f"{folder}/snapshot_date={partition.day.isoformat()}/account_id={partition.account_id}{suffix}"


@dataclass(frozen=True, slots=True)
class FoundPullFile:
    """A file that a pull left, or one beside it. `data.store.remove(data.get_key(path))` removes it, on a disk and in a bucket."""

    partition: Partition
    path: Path
    """The file on the disk; in a bucket the local file of its key, which need not exist."""
    bytes: int


def find_responses(data: DataDir, account_id: str | None = None) -> Iterator[FoundPullFile]:
    """Yield the files with responses, of one account or of all, and those beside them; earlier days of an account come first."""
    yield from _find(data, data.checkpoints, RESPONSES_FOLDER, account_id)


def find_fingerprints(data: DataDir, account_id: str | None = None) -> Iterator[FoundPullFile]:
    """Yield the files with roster fingerprints, of one account or of all; earlier days of an account come first."""
    yield from _find(data, data.fingerprints, FINGERPRINTS_FOLDER, account_id)


def find_pull_files(data: DataDir, partition: Partition) -> list[Path]:
    """Return the paths of responses and roster fingerprints of one account and day, as `FoundPullFile.path`."""
    responses = data.checkpoint_path(partition)
    files = [*sorted(responses.parent.glob(f"{responses.stem}.*")), data.fingerprints_path(partition)]
    found = [path for path in files if path.exists()]
    if not data.store.is_local:
        checkpoints = [describe_checkpoint(data, partition, lists_only=lists_only) for lists_only in (False, True)]
        keys = [file.key for file in (*checkpoints, describe_fingerprints(data, partition))]
        found += [data.root / key for key in keys if data.store.find(key) is not None]
    return found


def _find(data: DataDir, root: Path, folder: str, account_id: str | None) -> Iterator[FoundPullFile]:
    account = "*" if account_id is None else check_account_id(account_id)
    for path in sorted(root.glob(f"account_id={account}/snapshot_date=*")):
        partition = parse_folder(path.relative_to(root).with_name(path.name.partition(".")[0]))
        if partition is not None:
            yield FoundPullFile(partition, path, measure_size(path))
    if data.store.is_local:
        return
    for day in data.store.list_folders(f"{folder}/"):
        for file in data.store.list_files(f"{folder}/{day}/"):
            partition = parse_folder(Path(file.key.rpartition("/")[2].partition(".")[0], day))
            if partition is not None and account_id in {None, partition.account_id}:
                yield FoundPullFile(partition, data.root / file.key, file.size)
