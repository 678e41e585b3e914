"""One at a time for an account and day: a lock of the operating system, which dies with its process.

What belongs here: the lock, and the folder for what waits while somebody has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.paths import DataDir, Partition


class LockedError(LmsPipelineError):
    """Somebody else pulls the same account and day."""


@contextmanager
def partition_lock(data: DataDir, partition: Partition) -> Iterator[Path]:
    """A folder for what waits, that is ours alone; what a dead process left in it is removed.

    Raises:
        LockedError: somebody else is at it.
        LakeError: it can't be written.
    """
    folder = data.pull(partition)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise LockedError(
                f"{partition} is being pulled by another run: wait for it, or stop it, and try again."
            ) from None
    waiting = folder / "waiting"
    try:
        shutil.rmtree(waiting, ignore_errors=True)
        yield waiting
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
        lock.release()


def remove_folder(data: DataDir, partition: Partition) -> None:
    """Remove the folder of a pull that is over, with its lock; who has just opened that one is refused, not let in.

    Raises:
        LockedError: somebody is at it.
        LakeError: it can't be removed.
    """
    with partition_lock(data, partition), disk_errors(data.pull(partition)):
        shutil.rmtree(data.pull(partition))
