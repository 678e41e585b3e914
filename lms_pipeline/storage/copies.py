"""The folders with copies of a bucket's objects, so that a message about a copy names the object, which a person can repair.

Belongs here: which object a local file is a copy of. Not here: making copies (`object_store.py`), and their record (`mirror.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_urls: dict[Path, str] = {}
"""The address of the bucket of which each folder has copies, by their keys."""
LOCAL: Final = "state"
"""The folder of a data directory of which no bucket has anything."""


def add_copies(folder: Path, url: str) -> None:
    """Note that a folder has copies of a bucket."""
    _urls[folder] = url


@contextmanager
def adding_copies(folder: Path, url: str) -> Iterator[None]:
    """Note that a folder has copies of a bucket until the block ends."""
    add_copies(folder, url)
    try:
        yield
    finally:
        del _urls[folder]


def find_address(path: Path | str) -> Path | str:
    """Return the address of the object of which a file is a copy, for people; the path of any other file."""
    if isinstance(path, str):
        return path
    for folder in path.parents:
        if (url := _urls.get(folder)) is not None:
            key = path.relative_to(folder)
            is_copy = key.parts[0] != LOCAL and not key.name.startswith(".")
            return f"{url}/{key.as_posix()}" if is_copy else path
    return path
