"""Temporary folders outside of the data directory, and the removal of those whose process was killed.

Belongs here: folders of checks, metrics, estimates and reports, for queries that spill. Not here: the scratch folder of a pull
(`lock.py`).
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Literal, get_args

from filelock import FileLock, Timeout

from lms_pipeline.storage.damaged_files import is_lock_held
from lms_pipeline.storage.disk import convert_disk_errors, read_changed_at

Purpose = Literal["checks", "metrics", "estimate", "report"]
LOCK_NAME = "lock"


@contextmanager
def scratch_folder(purpose: Purpose) -> Iterator[Path]:
    """Yield an empty folder in the system's folder of temporary files, and remove it at the end of the block.

    Its lock ends with this process, however it ends: then `find_abandoned_scratch` finds the folder.

    Raises:
        LakeError: the folder can't be written.
    """
    with convert_disk_errors(Path(gettempdir())):
        folder, lock = _create_locked(purpose)
        content = folder / "content"
        content.mkdir()
    try:
        yield content
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def find_abandoned_scratch(is_abandoned: Callable[[datetime], bool]) -> Iterator[Path]:
    """Yield the temporary folders of this user whose process has ended.

    Folders of older versions have no lock: `is_abandoned` decides by the time of their last change.
    """
    for purpose in get_args(Purpose):
        for folder in sorted(Path(gettempdir()).glob(f"lms-{purpose}-*")):
            with suppress(OSError):  # it ended meanwhile
                if _is_ours(folder) and _has_no_process(folder, is_abandoned):
                    yield folder


def remove_scratch(folder: Path) -> None:
    """Remove an abandoned folder. A process that has just created it notices, and makes another one.

    Raises:
        LakeError: it can't be removed.
    """
    with convert_disk_errors(folder), suppress(FileNotFoundError, Timeout):
        if not (folder / LOCK_NAME).exists():
            shutil.rmtree(folder)
            return
        with FileLock(folder / LOCK_NAME, blocking=False):
            shutil.rmtree(folder)


def _create_locked(purpose: Purpose) -> tuple[Path, FileLock]:
    """Create a folder and hold its lock; another one if a housekeeping removed it between both."""
    while True:
        folder = Path(mkdtemp(prefix=f"lms-{purpose}-"))
        lock = FileLock(folder / LOCK_NAME)
        with suppress(FileNotFoundError):
            lock.acquire()
            if (folder / LOCK_NAME).exists():
                return folder, lock
            lock.release()


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _has_no_process(folder: Path, is_abandoned: Callable[[datetime], bool]) -> bool:
    if not (folder / LOCK_NAME).exists():
        return is_abandoned(read_changed_at(folder))
    return not is_lock_held(folder / LOCK_NAME)
