"""The digest of a table's rows: 128 bits that are equal for equal rows in any order.

Belongs here: hashing rows within little memory, whatever a row holds. Where a digest is stored is `files.py`.
"""

from __future__ import annotations

import hashlib
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from itertools import zip_longest
from json.encoder import encode_basestring

import pyarrow as pa

from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.slices import iter_slices

MAX_SLICE_BYTES = 8 * 2**20
"""Rows that DuckDB turns into JSON together. It allocates six bytes for each byte of text, and keeps them for all rows."""
PIECE_BYTES = 2**20

_OTHER_ESCAPES = re.compile(r"[\x0b\x0e\x0f\x1a-\x1f]")
"""Characters that DuckDB escapes as `\\u001F`, and Python as `\\u001f`; both escape all others alike."""


class Digest:
    """A sum over the hashes of all rows without their `fetched_at`: equal for equal rows in any order and in any batches."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, rows: pa.Table) -> None:
        """Add the hashes of rows."""
        with duckdb_session() as connection:
            for part in iter_slices(rows, MAX_SLICE_BYTES):
                if part.nbytes > MAX_SLICE_BYTES:
                    self._add(_hash_large_row(part))
                    continue
                connection.register("added", part)
                ((high, low),) = connection.sql(load_sql(__package__, "digest.sql")).fetchall()
                self._add((int(high) << 64) + int(low))

    def hexdigest(self) -> str:
        """Return the sum as 32 hexadecimal digits."""
        return f"{self._sum:032x}"

    def _add(self, number: int) -> None:
        self._sum = (self._sum + number) % 2**128


def _hash_large_row(row: pa.Table) -> int:
    """Return what `digest.sql` returns for one row; DuckDB can't turn a value of 30 MB into JSON in its memory."""
    md5 = hashlib.md5(usedforsecurity=False)
    names = [name for name in row.column_names if name != "fetched_at"]
    for position, name in enumerate(names):
        md5.update(f'{"," if position else "{"}"{name}":'.encode())
        for piece in _iter_json(row.column(name)[0]):
            md5.update(piece.encode())
    md5.update(b"}")
    return int.from_bytes(md5.digest(), "little")


def _escape(text: str) -> str:
    """Return the inner part of a JSON string as DuckDB's `to_json` writes it."""
    parts = _OTHER_ESCAPES.split(text)
    others = [f"\\u{ord(character):04X}" for character in _OTHER_ESCAPES.findall(text)]
    return "".join(encode_basestring(part)[1:-1] + other for part, other in zip_longest(parts, others, fillvalue=""))


def _iter_json(value: pa.Scalar) -> Iterator[str]:
    """Yield the JSON that DuckDB's `to_json` returns for a value, in pieces."""
    if not value.is_valid:
        yield "null"
    elif isinstance(value, pa.StringScalar):
        text, decoder = memoryview(value.as_buffer()), getincrementaldecoder("utf-8")()
        yield '"'
        for start in range(0, len(text), PIECE_BYTES):
            yield _escape(decoder.decode(text[start : start + PIECE_BYTES]))
        yield '"'
    elif isinstance(value, pa.ListScalar):
        yield "["
        for position, item in enumerate(value.values):
            yield "," if position else ""
            yield from _iter_json(item)
        yield "]"
    elif isinstance(value, pa.StructScalar):
        for position, (name, member) in enumerate(value.items()):
            yield f'{"," if position else "{"}"{name}":'
            yield from _iter_json(member)
        yield "}"
    else:
        with duckdb_session() as connection:
            connection.register("one", pa.table({"value": pa.array([value], value.type)}))
            ((text,),) = connection.sql("SELECT to_json(value) FROM one").fetchall()
        yield text
