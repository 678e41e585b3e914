"""Who can read the data directory: its owner alone, or with `LMS_SHARE=group` the owner's group too.

Belongs here: the modes of files and folders, and the repair of those that are too open. Not here: their paths
(`paths.py`).
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.storage.disk import convert_disk_errors

log = logging.getLogger(__name__)

PRIVATE_UMASK = 0o077
GROUP_UMASK = 0o027


def restrict_access(settings: Settings) -> None:
    """Keep other users from reading what this process writes, and what the data directory already holds.

    Repairs the modes of an existing data directory once: the modes of its top-level folders are changed last, and show the
    next time that nothing is left to do. A Dagster home elsewhere may hold more than ours, and stays as it is. Logs how
    many were repaired.

    Raises:
        LakeError: a mode can't be changed.
    """
    umask = GROUP_UMASK if settings.share == "group" else PRIVATE_UMASK
    os.umask(umask)
    data = DataDir.open(settings)
    _check_root(data)
    home = settings.dagster_home
    tops = [data.lake, data.roll_ups, data.checkpoints, data.state, data.warehouse, data.reports]
    tops += [home] if home.is_relative_to(data.root) else []
    if settings.share == "group":
        _open_root(data.root)
    repaired = sum(_repair(path, umask) for path in tops)
    if repaired:
        readers = "its owner and group" if settings.share == "group" else "its owner"
        log.warning(
            "%s: %d files and folders have new modes, so that only %s can read them; see LMS_SHARE in docs/settings.md.",
            data.root,
            repaired,
            readers,
        )


def _check_root(data: DataDir) -> None:
    """Refuse a path that can be no folder, and keep other users from replacing the folders in one that is ours.

    Raises:
        LakeError: it is no folder, can't be one, or its mode can't be changed.
    """
    root = data.root
    with convert_disk_errors(root):
        status = root.stat() if root.exists() else None
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            raise LakeError(f"LMS_DATA_DIR {root} can't be used: it is no folder.")
        mode = stat.S_IMODE(status.st_mode)
        if data.state.exists() and status.st_uid == os.geteuid() and mode & 0o022:
            root.chmod(mode & ~0o022)


def _open_root(root: Path) -> None:
    """Let the group enter the data directory itself; what else lies in it is not ours."""
    with convert_disk_errors(root):
        if root.exists() and root.stat().st_uid == os.geteuid():
            root.chmod(stat.S_IMODE(root.stat().st_mode) | 0o050)


def _repair(top: Path, umask: int) -> int:
    """Give a folder or file of this user, and all in it, the modes that `umask` means. Return how many changed."""
    try:
        status = top.lstat()
    except (FileNotFoundError, NotADirectoryError):  # the first use of the directory, or a wrong path
        return 0
    is_right = stat.S_IMODE(status.st_mode) == _find_mode(status, umask)
    if is_right or status.st_uid != os.geteuid() or stat.S_ISLNK(status.st_mode):
        return 0
    with convert_disk_errors(top):
        return sum(_set_mode(path, umask) for path in _walk(top))


def _walk(top: Path) -> Iterator[Path]:
    """Yield what is in a folder, the content of each folder before the folder, which is the last; or a single file."""
    if not top.is_dir():
        yield top
    for folder, _, files in os.walk(top, topdown=False):
        yield from (Path(folder, name) for name in files)
        yield Path(folder)


def _set_mode(path: Path, umask: int) -> bool:
    """Give a file or folder its mode; return whether it had another one. It may be removed meanwhile."""
    try:
        status = path.lstat()
        mode = _find_mode(status, umask)
        if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) == mode:
            return False
        path.chmod(mode)
    except FileNotFoundError:
        return False
    return True


def _find_mode(status: os.stat_result, umask: int) -> int:
    """Return the mode with what `umask` forbids taken away, and what it leaves to the group given as to the owner."""
    mode = stat.S_IMODE(status.st_mode)
    group = (mode & 0o700) >> 3 & ~umask
    return (mode & ~0o077) | group
