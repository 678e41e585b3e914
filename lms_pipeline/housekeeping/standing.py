"""What stands on the disk: how large it is, and since when it is as it is.

What belongs here: looking at one file or folder, which others may remove meanwhile.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path


def changed_at(path: Path) -> datetime:
    """When it was last changed; now, where it has just gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def size(path: Path) -> int:
    """In bytes; of a folder, of all that is in it."""
    try:
        if path.is_dir():
            return sum(size(inside) for inside in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return 0
