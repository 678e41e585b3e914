"""The troubles of a disk, told in one sentence.

What belongs here: the error that everything in the lake raises, the translation of the system's own, and sizes in words.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import PULLED_TABLES

_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is larger than the disk or the limits of the user allow",
}
_NO_RIGHT = {errno.EROFS, errno.EACCES, errno.EPERM}


class LakeError(LmsPipelineError):
    """The lake can't be written or read."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Tell the troubles of writing `path` in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise LakeError(
                f"{path} can't be written: {_NO_ROOM[error.errno]}; make room and run it again."
            ) from error
        if error.errno in _NO_RIGHT:
            raise LakeError(
                f"{path} can't be written: check who owns LMS_DATA_DIR and its rights."
            ) from error
        raise LakeError(
            f"{path} can't be written: {error.strerror or error}; look at what stands in its place."
        ) from error


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
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield new
            sync(new)
            replace_file(new, path)
        finally:
            new.unlink(missing_ok=True)


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


def format_bytes(size: float) -> str:
    """As `814 B`, `1.2 MB` or `31.0 GB`."""
    for unit in ("B", "KB", "MB"):
        if size < 1_000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"


LEAST = 200_000_000
"""Bytes that a pull needs in any case: also an account's first, of which nothing is known."""
TIMES = 3
"""What the last snapshot left: beside that there are rows that wait, and plans. At the most 1.6 to 2.0 times of it was
seen in sweeps of 800 to 33,000 enrollments, 3.0 times by pairs."""


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Bytes on the disk of the data directory."""

    free: int
    needed: int

    @property
    def is_enough(self) -> bool:
        """Whether a pull may begin."""
        return self.free >= self.needed


def room(data: DataDir, partition: Partition) -> FreeSpace:
    """What is free, and what a pull of an account and day needs, going by the account's last snapshot.

    Raises:
        LakeError: the disk can't be looked at.
    """
    with disk_errors(data.root):
        free = shutil.disk_usage(_standing(data.root)).free
    # a rerun leaves as much as the snapshot that it replaces: the day itself counts too
    latest = data.latest_snapshot(partition.account_id, before=partition.day + timedelta(days=1))
    last = sum(path.stat().st_size for path in _written(data, latest)) if latest else 0
    return FreeSpace(free, max(LEAST, TIMES * last))


def check_free_space(data: DataDir, partition: Partition) -> None:
    """Refuse a pull that would fill the disk.

    Raises:
        LakeError: there is no room for it; nothing was asked.
    """
    found = room(data, partition)
    if not found.is_enough:
        raise LakeError(
            f"There is no room to pull {partition}: {format_bytes(found.free)} are free on the disk of {data.root}, and it "
            f"needs about {format_bytes(found.needed)}; make room and run it again, nothing was asked."
        )


def _written(data: DataDir, partition: Partition) -> Iterator[Path]:
    """The files that a pull of the account and day has left."""
    files = [data.file(table, partition) for table in PULLED_TABLES]
    yield from (path for path in (*files, data.answers(partition), data.details(partition)) if path.exists())


def _standing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    return next(one for one in (folder, *folder.parents) if one.exists())
