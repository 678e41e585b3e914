"""The footer of a stored file, read by a request for its end: the file itself is not fetched.

Belongs here: what a footer says of a file in the store. Not here: files on the disk (`files.py`).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.files import convert_read_errors, select_metadata
from lms_pipeline.storage.store import Store, StoredFile

FOOTER_BYTES = 2**16
"""Bytes at the end of a file that have the footer, unless it has many row groups."""
MAX_FOOTER_BYTES = 2**26
"""Bytes of a footer that is read at most: a damaged file may announce more than memory holds."""


def read_stored_footer(store: Store, key: str) -> pq.FileMetaData | None:
    """Return the footer of a stored file, without fetching the file; None if nothing is stored.

    Raises:
        LakeError: it is damaged, or no Parquet file.
        StoreError: the store can't be used, or the file was replaced meanwhile.
    """
    file = store.find(key)
    return None if file is None else read_footer_of(store, file)


def read_footer_of(store: Store, file: StoredFile) -> pq.FileMetaData:
    """Return the footer of a file that was found or listed before.

    Raises:
        StoreError: it was replaced or removed since.
        LakeError: it can't be read, or is no Parquet file.
    """
    with convert_read_errors(store.describe(file.key)):
        end = store.read_range(file, max(0, file.size - FOOTER_BYTES), FOOTER_BYTES)
        size = int.from_bytes(end[-8:-4], "little") + 8
        if FOOTER_BYTES < size <= min(MAX_FOOTER_BYTES, file.size):
            end = store.read_range(file, file.size - size, size)
        return pq.read_metadata(pa.BufferReader(end))


def read_stored_metadata(store: Store, key: str) -> dict[str, str] | None:
    """Return our entries in the metadata of a stored file, as `read_metadata`; None if nothing is stored.

    Raises:
        LakeError: it is damaged, or no Parquet file.
        StoreError: the store can't be used, or the file was replaced meanwhile.
    """
    footer = read_stored_footer(store, key)
    return None if footer is None else select_metadata(footer)


def count_stored_rows(store: Store, key: str) -> int | None:
    """Return the number of rows of a stored file, without fetching it; None if nothing is stored.

    Raises:
        LakeError: it is damaged, or no Parquet file.
        StoreError: the store can't be used, or the file was replaced meanwhile.
    """
    footer = read_stored_footer(store, key)
    return None if footer is None else footer.num_rows
