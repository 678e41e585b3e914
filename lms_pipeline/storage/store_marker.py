"""The marker of a lake in a bucket, and the check before the first change: is this the right bucket, and does it keep conditions?

Belongs here: the object with which a store is checked. Not here: conditional writes of data (`conditional_write.py`).
"""

# Some stores ignore the condition of a write in silence, `rclone serve s3` for one. There two runs would both believe that
# they published.

from __future__ import annotations

from typing import Final

import msgspec

from lms_pipeline.storage.bucket import Bucket, ConditionRefusedError
from lms_pipeline.storage.mirror import Mirror
from lms_pipeline.storage.store import StoredFile, StoreError, UnsafeStoreError

MARKER_KEY: Final = "lake/.lms_pipeline.json"
VERSION: Final = 1
"""The layout of a lake in a bucket."""
STALE: Final = StoredFile(MARKER_KEY, 0, 0, 0, '"00000000000000000000000000000000" 1')
"""A version that the marker never has."""
MAX_TRIES: Final = 3
"""Tries to write or read the marker."""
CHECKED: Final = "checked"
"""Stands for the version of the marker in the record of copies once the bucket is checked; the marker has no local copy."""


class Marker(msgspec.Struct, frozen=True):
    """The content of the marker."""

    version: int
    demo: bool
    """Whether the lake is the demo's."""


def check_store(bucket: Bucket, mirror: Mirror, *, is_demo: bool) -> None:
    """Refuse a bucket that ignores conditions, or holds the data of another kind. A data directory checks its bucket once.

    Raises:
        UnsafeStoreError: it can't be used.
        StoreError: it can't be reached.
    """
    if _is_checked(mirror, is_demo=is_demo):
        return
    stored, refuses = _write_or_read(bucket, Marker(VERSION, is_demo))
    _check_marker(bucket, stored, is_demo=is_demo)
    if not refuses or not _is_refused(bucket, msgspec.json.encode(stored), STALE):
        raise UnsafeStoreError(
            f"The store at {bucket.url} takes a conditional write that it should refuse: two machines could publish over each "
            "other there. Use one that supports If-None-Match (AWS, GCS, Azure, MinIO, R2)."
        )
    mirror.write_note(MARKER_KEY, _build_note(is_demo=is_demo))


def is_marked(bucket: Bucket, mirror: Mirror, *, is_demo: bool) -> bool:
    """Return whether a bucket has the marker, before something is removed from it. Writes nothing.

    Raises:
        UnsafeStoreError: it holds the data of another kind.
        StoreError: it can't be reached.
    """
    if _is_checked(mirror, is_demo=is_demo):
        return True
    stored = _read(bucket)
    if stored is not None:
        _check_marker(bucket, stored, is_demo=is_demo)
    return stored is not None


def _is_checked(mirror: Mirror, *, is_demo: bool) -> bool:
    return mirror.find_note(MARKER_KEY) == _build_note(is_demo=is_demo)


def _build_note(*, is_demo: bool) -> str:
    return f"{CHECKED} {VERSION} {is_demo}"


def _write_or_read(bucket: Bucket, marker: Marker) -> tuple[Marker, bool]:
    """Return the marker that is stored, and whether the store refused to write a second one."""
    content = msgspec.json.encode(marker)
    for _ in range(MAX_TRIES):
        if not _is_refused(bucket, content, None):
            return marker, _is_refused(bucket, content, None)
        if (stored := _read(bucket)) is not None:
            return stored, True
    raise StoreError(f"{bucket.describe(MARKER_KEY)} can't be written: other machines write it; try again later.")


def _is_refused(bucket: Bucket, content: bytes, seen: StoredFile | None) -> bool:
    try:
        bucket.put(MARKER_KEY, content, seen)
    except ConditionRefusedError:
        return True
    return False


def _read(bucket: Bucket) -> Marker | None:
    """Return the marker; None if there is none: a write is refused while another machine makes one, or removes it."""
    download = bucket.get(MARKER_KEY)
    if download is None:
        return None
    try:
        return msgspec.json.decode(b"".join(download.chunks), type=Marker)
    except msgspec.DecodeError:
        raise UnsafeStoreError(
            f"{bucket.describe(MARKER_KEY)} does not hold what this version writes: it marks the lake; remove it if the bucket "
            "is the right one."
        ) from None


def _check_marker(bucket: Bucket, marker: Marker, *, is_demo: bool) -> None:
    if marker.version > VERSION:
        raise UnsafeStoreError(
            f"The lake at {bucket.url} was written by a newer lms_pipeline (layout {marker.version}, this one knows {VERSION}): "
            "upgrade this one."
        )
    if marker.demo != is_demo:
        whose = "the demo" if marker.demo else "accounts that are not the demo's"
        raise UnsafeStoreError(f"The lake at {bucket.url} belongs to {whose}: choose another place with LMS_LAKE_URL.")
