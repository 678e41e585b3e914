"""The lock of a partition: one pull of an account and day at a time.

Belongs here: the lock, which the operating system releases when its process ends, and the pull's scratch folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.storage.damaged_files import build_lock, is_lock_held, remove_path
from lms_pipeline.storage.disk import convert_disk_errors

SCRATCH = "waiting"
"""The name of the scratch folder in a pull's folder."""
LOCK = "lock"
"""The name of the lock beside it."""


class LockedError(LmsPipelineError):
    """Another run pulls the same account and day."""


@contextmanager
def partition_lock(data: DataDir, partition: Partition) -> Iterator[Path]:
    """Lock a partition, and yield the path of an empty scratch folder for it.

    Files that a dead process left there are removed, and so is the folder at the end.

    Raises:
        LockedError: another run holds the lock.
        LakeError: the lock can't be written.
    """
    folder = data.pull_folder(partition)
    with convert_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = build_lock(folder / LOCK, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise LockedError(
                f"{partition} is being pulled by another run: wait for it, or stop it, and try again."
            ) from None
    scratch = folder / SCRATCH
    try:
        with convert_disk_errors(scratch):
            remove_path(scratch)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.release()


@contextmanager
def passing_lock(data: DataDir, partition: Partition) -> Iterator[None]:
    """Lock a partition to remove something of it. At the end, the folder of a pull goes if it holds nothing but the lock.

    A run that opens the lock file at this moment finds it locked and is refused.

    Raises:
        LockedError: a run holds the lock.
        LakeError: the lock can't be written, or the folder can't be removed.
    """
    with partition_lock(data, partition):
        yield
        folder = data.pull_folder(partition)
        with convert_disk_errors(folder):
            if {path.name for path in folder.iterdir()} <= {LOCK, SCRATCH}:
                shutil.rmtree(folder)


def is_locked(data: DataDir, partition: Partition) -> bool:
    """Return whether a run holds the lock of a partition. A run that begins at this moment may be refused.

    Raises:
        LakeError: the lock can't be opened.
    """
    path = data.pull_folder(partition) / LOCK
    with convert_disk_errors(path):
        return path.is_file() and is_lock_held(path)


def remove_folder(data: DataDir, partition: Partition) -> None:
    """Remove the folder of a pull that has ended, with its lock.

    A run that opens the lock file at this moment finds it locked and is refused.

    Raises:
        LockedError: a run holds the lock.
        LakeError: the folder can't be removed.
    """
    with partition_lock(data, partition), convert_disk_errors(data.pull_folder(partition)):
        shutil.rmtree(data.pull_folder(partition))
