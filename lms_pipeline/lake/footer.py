"""The footer of a Parquet file: its metadata, with a checksum over all bytes of the file.

Belongs here: writing the footer after the rows, and comparing the checksum, which finds a byte that changed on the disk:
Parquet and DuckDB read it as another value. Not here: what the rows hold (`digest.py`).
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

PLACEHOLDER = f"sha256:{'0' * 64}"
"""The value of the metadata entry while the checksum is computed."""

_KEY = b"lms_pipeline.checksum"
_ENTRY = re.compile(re.escape(_KEY) + rb".{2,4}(sha256:[0-9a-f]{64})", re.DOTALL)
"""The entry as it is in the bytes of the footer, with the length of the value between. Another way to find it would miss
damages of the footer after which it is read without its metadata."""
_PIECE_BYTES = 2**20
_TAIL_BYTES = 8
"""The length of the footer in four bytes, and four letters."""


def replace_footer(path: Path, schema: pa.Schema, metadata: Mapping[str, str]) -> None:
    """Give a finished Parquet file other metadata, and a checksum; its row groups stay where they are.

    Raises:
        OSError: the file can't be read or written.
    """
    footer = _build_footer(pq.read_metadata(path), schema, {**metadata, _KEY.decode(): PLACEHOLDER})
    entry = _ENTRY.search(footer)
    if entry is None:
        raise ValueError("The footer has no placeholder of a checksum.")
    with path.open("r+b") as file:
        start, _ = _read_footer(file)
        value = _compute(file, start, footer)
        file.seek(start)
        file.write(footer[: entry.start(1)] + value + footer[entry.end(1) :])
        file.truncate()


def is_unchanged(path: Path) -> bool:
    """Return whether a Parquet file has the checksum in its footer, or none at all, as those of earlier versions.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        start, footer = _read_footer(file)
        if _KEY not in footer:
            return True
        entry = _ENTRY.search(footer)
        if entry is None:
            return False
        as_computed = footer[: entry.start(1)] + PLACEHOLDER.encode() + footer[entry.end(1) :]
        return _compute(file, start, as_computed) == entry[1]


def _build_footer(described: pq.FileMetaData, schema: pa.Schema, metadata: Mapping[str, str]) -> bytes:
    """Return the footer of a file with the row groups of another, which has the same schema."""
    with io.BytesIO() as empty, io.BytesIO() as whole:
        with pq.ParquetWriter(empty, schema) as writer:
            writer.add_key_value_metadata(dict(metadata))
        footer = pq.read_metadata(empty)
        footer.append_row_groups(described)
        footer.write_metadata_file(whole)
        return whole.getvalue().removeprefix(b"PAR1")


def _read_footer(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the footer of a Parquet file begins, and all bytes from there on."""
    end = file.seek(0, 2)
    file.seek(max(0, end - _TAIL_BYTES))
    start = max(0, end - _TAIL_BYTES - int.from_bytes(file.read(4), "little"))
    file.seek(start)
    return start, file.read()


def _compute(file: BinaryIO, start: int, footer: bytes) -> bytes:
    """Return the checksum of the bytes before `start`, and of a footer with the placeholder."""
    whole = hashlib.sha256()
    file.seek(0)
    while start:
        piece = file.read(min(start, _PIECE_BYTES))
        if not piece:
            break
        whole.update(piece)
        start -= len(piece)
    whole.update(footer)
    return f"sha256:{whole.hexdigest()}".encode()
