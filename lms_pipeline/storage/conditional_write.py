"""A publication of one object: it is stored if nobody else stored it meanwhile, and a failed request is settled by reading back.

Belongs here: what happens after each kind of failure. Not here: single requests (`bucket.py`), the order of tables in a
publication (`lake/publishing.py`).
"""

# A request that fails may have been carried out: its answer was lost, or it is carried out after the client gave up. A
# store that answers 409 or 412 to the repeated request does not say whose object it has. So the object decides, after any
# failure: it is ours to the byte, or what the caller saw, or of another run.

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from lms_pipeline.storage.bucket import Body, Bucket, Download, map_file
from lms_pipeline.storage.store import PublishedByAnotherError, StoredFile, StoreError, UnsafeStoreError

MAX_BYTES: Final = 4 * 2**30
"""The largest published file: one request of S3 ends at 5 GB, and a request in parts knows no condition everywhere."""
MAX_SECONDS: Final = 300.0
"""How long a publication is tried again."""
MIN_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 30.0

Sleep = Callable[[float], None]


def write_if_unchanged(
    bucket: Bucket, path: Path, key: str, seen: StoredFile | None, *, sleep: Sleep = time.sleep
) -> str:
    """Store a file under a key, if the object is still the one that was seen. Return the version, empty if it is unknown.

    Args:
        bucket: where the object is.
        path: the new content, which does not change meanwhile.
        key: the key of the object.
        seen: what was stored when the run began; None if nothing was.
        sleep: pauses between two tries.

    Raises:
        PublishedByAnotherError: another run has stored it since, or removed it.
        UnsafeStoreError: the file is too large, or the store does not name versions.
        StoreError: it failed for five minutes, does not accept the credentials, or there is no such bucket.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UnsafeStoreError(
            f"{bucket.describe(key)} can't be written: the file has {size / 2**30:.1f} GiB, and one of more than 4 GiB can't "
            'be published in one step; leave out raw payloads with `remote_data = "drop"` for the account.'
        )
    if seen is not None and not seen.version:
        raise UnsafeStoreError(
            f"{bucket.describe(key)} can't be written: the store does not name its version (no ETag), so two machines could "
            "publish over each other; use a store that does."
        )
    body = map_file(path)
    tries = Retrying(
        sleep=sleep,
        stop=stop_after_delay(MAX_SECONDS),
        wait=wait_exponential_jitter(multiplier=MIN_PAUSE_SECONDS, max=MAX_PAUSE_SECONDS),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )
    return tries(_write, bucket, body, key, seen)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, StoreError) and error.may_pass


def _write(bucket: Bucket, body: Body, key: str, seen: StoredFile | None) -> str:
    try:
        return bucket.put(key, body, seen)
    except StoreError as error:
        stored = bucket.find(key)
        if stored is not None and stored.size == len(body):
            download = bucket.get(key)
            if download is not None and _is_equal(download, body):
                return download.stored.version
            stored = download.stored if download is not None else None
        if _is_same(stored, seen):
            raise error from None
        raise PublishedByAnotherError(
            f"{bucket.describe(key)} was published by another run meanwhile: this run publishes nothing more."
        ) from None


def _is_same(stored: StoredFile | None, seen: StoredFile | None) -> bool:
    if stored is None or seen is None:
        return stored is seen
    return stored.version == seen.version


def _is_equal(download: Download, body: Body) -> bool:
    """Return whether an object has the content of a file. Both pass in pieces."""
    if download.stored.size != len(body):
        return False
    position = 0
    for chunk in download.chunks:
        if body[position : position + len(chunk)] != chunk:
            return False
        position += len(chunk)
    return position == len(body)
