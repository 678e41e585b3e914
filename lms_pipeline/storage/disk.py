"""The disk: its errors in one sentence, files that are replaced as a whole, sizes for people.

Belongs here: what every writer needs. Not here: what is written and where (`lake/files.py`, `lake/paths.py`), how much a
pull may write (`lake/space.py`).
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lms_pipeline.errors import LakeError, WrongUseError
from lms_pipeline.storage.damaged_files import set_aside_folder

_NO_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is larger than the disk or the limits of the user allow",
}
_NO_PERMISSION = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def convert_disk_errors(path: Path, verb: Literal["written", "read"] = "written") -> Iterator[None]:
    """Raise errors of writing `path`, or of reading what is known of it, as one sentence.

    Raises:
        LakeError: it can't be written, or read.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise LakeError(
                f"{path} can't be {verb}: {_NO_SPACE[error.errno]}; free some space and run it again."
            ) from error
        if error.errno in _NO_PERMISSION:
            raise LakeError(f"{path} can't be {verb}: check who owns LMS_DATA_DIR, and its permissions.") from error
        raise LakeError(f"{path} can't be {verb}: {error.strerror or error}; check what is at that path.") from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside `path`, which replaces `path` when the block ends.

    The new content is on the disk before the rename, and the rename is on the disk before the block returns: after a
    crash the file holds the old content or the new one. If the block raises, the old file stays and the new one is
    removed. All writers of one path share the name of the new file, `<name>.new`, so they must hold a lock; no other path
    has the same. A folder in the place of the file is set aside.

    Raises:
        LakeError: the file can't be written.
    """
    new = path.with_name(f"{path.name}.new")
    with convert_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield new
            sync(new)
            set_aside_folder(path, "it is written again")
            replace_file(new, path)
        finally:
            new.unlink(missing_ok=True)


def find_target(output: Path, what: str) -> Path:
    """Return the file that is written for a path of the user: that to which a link leads. `what` names the content in the error.

    Raises:
        WrongUseError: it is no regular file, as a folder or a device, which a rename would replace.
    """
    try:
        target = output.resolve()
        is_wrong = output == Path() or (target.exists() and not target.is_file())
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that no file can have
        is_wrong = True
    if is_wrong:
        raise WrongUseError(f"{what} can't be written to {str(output)!r}: name a file, which may be new.")
    return target


def remove_file(path: Path, consequence: str) -> None:
    """Remove a file; missing is no error. A folder in its place is set aside, and `consequence` ends the sentence about it.

    Raises:
        LakeError: it can't be removed.
    """
    with convert_disk_errors(path):
        set_aside_folder(path, consequence)
        path.unlink(missing_ok=True)


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


def measure_free(folder: Path) -> int:
    """Return the free bytes of the disk of a folder, which need not exist yet.

    Raises:
        LakeError: the disk can't be read.
    """
    with convert_disk_errors(folder):
        existing = next(one for one in (folder, *folder.parents) if one.exists())
        return shutil.disk_usage(existing).free


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk or a used-up quota is behind an error, whatever it was raised as."""
    return any(_is_no_space(one) for one in _follow_causes(error))


def _follow_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, each once: two errors may name each other."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_no_space(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return True
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    # errors of DuckDB and Arrow may have no number; one that quotes a server is not about our disk
    return "No space left on device" in str(error) and _is_of_library(error)


def _is_of_library(error: BaseException) -> bool:
    """Return whether a library that writes files raised an error."""
    import duckdb  # takes long, and few processes have such an error
    import pyarrow as pa

    return isinstance(error, (OSError, duckdb.Error, pa.ArrowException, sqlite3.Error))


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
    """Return the bytes of a file, or of all files in a folder; 0 if it has just been removed, or is another user's."""
    try:
        if path.is_dir():
            return sum(measure_size(inside) for inside in path.iterdir())
        return path.stat().st_size
    except (FileNotFoundError, PermissionError):
        return 0


def measure_freed(path: Path) -> int:
    """Return the bytes that the removal of a file, or of a folder, gives back: a file that has another name stays."""
    try:
        if path.is_dir():
            return sum(measure_freed(inside) for inside in path.iterdir())
        status = path.stat()
    except (FileNotFoundError, PermissionError):
        return 0
    return status.st_size if status.st_nlink == 1 else 0
