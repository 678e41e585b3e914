"""The mark of scratch: it says that a data directory has copies of a bucket, and no lake of its own.

Belongs here: the mark, and which folders are refused. Not here: the copies (`mirror.py`). A fetch replaces and removes local files,
and a lake of one machine is nothing but local files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.damaged_files import build_lock
from lms_pipeline.storage.disk import atomic_write, convert_disk_errors

MARK: Final = "state/scratch"
"""The mark's path in a data directory; it holds the address of the bucket whose copies came last."""
ORIGINALS: Final = {"lake": "data.parquet", "answers": "*.sqlite"}
"""Folders of an installation on one machine with what can't be made again, and the names of such files."""


def mark_scratch(root: Path, url: str) -> None:
    """Mark a data directory as scratch of a bucket.

    Raises:
        SettingsError: it has a lake of its own.
        LakeError: the mark can't be written.
    """
    path = root / MARK
    with convert_disk_errors(path):
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == url:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(path.with_suffix(".lock")):  # many processes of a new folder begin at once
            originals = (next((root / folder).rglob(name), None) for folder, name in ORIGINALS.items())
            if not path.is_file() and any(originals):
                raise SettingsError(
                    f"{root} holds a lake of its own, which copies of {url} would replace: set LMS_DATA_DIR to an empty "
                    "folder; docs/distributed.md says how to move a lake into a bucket."
                )
            with atomic_write(path) as new:
                new.write_text(url, encoding="utf-8")


def refuse_scratch(root: Path) -> None:
    """Refuse a data directory that is scratch of a bucket: it has a part of a lake only.

    Raises:
        SettingsError: it is.
    """
    path = root / MARK
    if path.is_file():
        with convert_disk_errors(path):
            url = path.read_text(encoding="utf-8", errors="replace")
        raise SettingsError(
            f"{root} holds nothing but copies of {url}: set LMS_LAKE_URL to it, or LMS_DATA_DIR to another folder."
        )
