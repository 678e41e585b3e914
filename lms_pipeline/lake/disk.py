"""The disk: its errors in one sentence, files that are replaced as a whole, free space, sizes for people.

Belongs here: what every writer needs. What is written, and where, is `files.py` and `paths.py`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import PULLED_TABLES

MIN_FREE_BYTES = 200_000_000
"""Free space that every pull needs, also the first one of an account, about which nothing is known."""
SPACE_FACTOR = 3
"""Free space that a pull needs, in sizes of the account's latest snapshot: it also holds staged rows and plans. The
highest need seen was 1.6 to 2.0 sizes in sweeps of 800 to 33,000 enrollments, and 3.0 sizes by pairs."""

_NO_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is larger than the disk or the limits of the user allow",
}
_NO_PERMISSION = {errno.EROFS, errno.EACCES, errno.EPERM}


class LakeError(LmsPipelineError):
    """The lake can't be written or read."""


@contextmanager
def convert_disk_errors(path: Path) -> Iterator[None]:
    """Raise errors of writing `path` as one sentence.

    Raises:
        LakeError: it can't be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise LakeError(
                f"{path} can't be written: {_NO_SPACE[error.errno]}; free some space and run it again."
            ) from error
        if error.errno in _NO_PERMISSION:
            raise LakeError(f"{path} can't be written: check who owns LMS_DATA_DIR, and its permissions.") from error
        raise LakeError(f"{path} can't be written: {error.strerror or error}; check what is at that path.") from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside `path`, which replaces `path` when the block ends.

    The new content is on the disk before the rename, and the rename is on the disk before the block returns: after a
    crash the file holds the old content or the new one. If the block raises, the old file stays and the new one is
    removed. All writers of one path share the name of the new file, so they must hold a lock.

    Raises:
        LakeError: the file can't be written.
    """
    new = path.with_suffix(".new")
    with convert_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield new
            sync(new)
            replace_file(new, path)
        finally:
            new.unlink(missing_ok=True)


def link_file(path: Path, link: Path) -> Path:
    """Give a file a second name, or copy it where the file system has no hard links. Return the new name.

    Raises:
        LakeError: it can't be written.
    """
    with convert_disk_errors(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, link)
    return link


def replace_file(new: Path, path: Path) -> None:
    """Rename `new` to `path`, and wait until the rename is on the disk."""
    new.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Bytes on the disk of the data directory."""

    free: int
    needed: int
    """By a pull."""


def check_free_space(data: DataDir, partition: Partition) -> None:
    """Refuse a pull that would fill the disk.

    Raises:
        LakeError: the disk has too little free space, or can't be read.
    """
    found = measure_free_space(data, partition)
    if found.free < found.needed:
        raise LakeError(
            f"There is not enough free space to pull {partition}: the disk of {data.root} has {format_bytes(found.free)} "
            f"free, and the pull needs about {format_bytes(found.needed)}; free some space and run it again, no request "
            "was sent."
        )


def measure_free_space(data: DataDir, partition: Partition) -> FreeSpace:
    """Return what is free, and what a pull of an account and day needs by the size of the account's latest snapshot.

    Raises:
        LakeError: the disk can't be read.
    """
    with convert_disk_errors(data.root):
        existing = next(folder for folder in (data.root, *data.root.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
    # a rerun leaves as much as the snapshot that it replaces: the day itself counts too
    latest = data.find_latest_snapshot(partition.account_id, before=partition.day + timedelta(days=1))
    size = 0
    if latest is not None:
        tables = (data.file(table, latest) for table in PULLED_TABLES)
        size = sum(
            path.stat().st_size
            for path in (*tables, data.checkpoint_path(latest), data.fingerprints_path(latest))
            if path.exists()
        )
    return FreeSpace(free, max(MIN_FREE_BYTES, SPACE_FACTOR * size))


def format_bytes(size: float) -> str:
    """Format a size as `814 B`, `1.2 MB` or `31.0 GB`."""
    for unit in ("B", "KB", "MB"):
        if size < 1_000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"


def read_changed_at(path: Path) -> datetime:
    """Return the time of the last change; the present, if the file has just been removed."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def measure_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 if it has just been removed."""
    try:
        if path.is_dir():
            return sum(measure_size(inside) for inside in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return 0
