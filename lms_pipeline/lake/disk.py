"""The troubles of a disk, told in one sentence.

What belongs here: the error that everything in the lake raises, the translation of the system's own, and sizes in words.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lms_pipeline.errors import LmsPipelineError

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


def size_told(size: float) -> str:
    """As `814 B`, `1.2 MB` or `31.0 GB`."""
    for unit in ("B", "KB", "MB"):
        if size < 1_000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"
