"""The digest of a table's rows: a SHA-256 over their values in order, however they are cut into batches.

Belongs here: hashing the values of rows. Not here: where a digest is stored (`files.py`), the bytes of a file
(`footer.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VERSION = 2
"""The way in which digests are computed, before the colon of each. Only digests of one version can be compared.

Version 1, without a colon, was the sum over the MD5 of each row as JSON: equal in any order, and ten times slower.
"""
LEFT_OUT = "fetched_at"
"""The column that the digest is not over: equal rows are fetched at different times."""

_FIXED_WIDTH = {"bool": "|u1", "int64": "<i8", "double": "<f8", "timestamp[us, tz=UTC]": "<i8", "date32[day]": "<i4"}
"""Types of fixed width, and how numpy names their little-endian values."""


class Digest:
    """A SHA-256 over the values of rows, without their `fetched_at`.

    Each column is a few streams of bytes: which values are null, the values that are not, and the lengths of texts and
    lists. A stream does not depend on the batches in which the rows come. The digest is over the SHA-256 of each stream,
    in the order of the columns. Every NaN is one value, and -0.0 is 0.0.
    """

    def __init__(self, schema: pa.Schema) -> None:
        """Begin with no rows; all rows must have the columns of `schema`."""
        self._columns = [(field.name, _Values(field.type)) for field in schema if field.name != LEFT_OUT]

    def update(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add rows after those that were added before."""
        for name, values in self._columns:
            column = rows.column(name)
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                values.add(chunk)

    def hexdigest(self) -> str:
        """Return the version, a colon, and 32 hexadecimal digits."""
        whole = hashlib.sha256()
        for name, values in self._columns:
            whole.update(hashlib.sha256(name.encode()).digest())
            for stream in values.iter_digests():
                whole.update(stream)
        return f"{VERSION}:{whole.hexdigest()[:32]}"


class _Values:
    """The streams of a column, or of what its lists and structs hold."""

    def __init__(self, kind: pa.DataType) -> None:
        self._validity, self._lengths, self._content = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._inner: list[_Values] = []
        self._add_valid: Callable[[Any], None]
        if pa.types.is_list(kind):
            self._add_valid, self._inner = self._add_lists, [_Values(kind.value_type)]
        elif pa.types.is_struct(kind):
            self._add_valid, self._inner = self._add_structs, [_Values(field.type) for field in kind]
        elif pa.types.is_string(kind):
            self._add_valid = self._add_texts
        else:
            self._add_valid, self._format = self._add_numbers, np.dtype(_FIXED_WIDTH[str(kind)])

    def add(self, values: pa.Array) -> None:
        """Add the values of an array."""
        if not values.null_count:
            self._validity.update(b"\x01" * len(values))
        else:
            self._validity.update(values.is_valid().cast(pa.uint8()).to_numpy().data)
            if values.null_count == len(values):
                return
            values = values.drop_null()
        self._add_valid(values)

    def iter_digests(self) -> Iterator[bytes]:
        """Yield the digests of the streams."""
        for stream in (self._validity, self._lengths, self._content):
            yield stream.digest()
        for inner in self._inner:
            yield from inner.iter_digests()

    def _add_numbers(self, values: pa.Array) -> None:
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.uint8())
        numbers = np.frombuffer(values.buffers()[1], self._format.newbyteorder("="))
        numbers = numbers[values.offset : values.offset + len(values)]
        if self._format.kind == "f":
            numbers = numbers + 0.0  # -0.0 becomes 0.0
            numbers[np.isnan(numbers)] = np.nan
        self._content.update(numbers.astype(self._format, copy=False).data)

    def _add_texts(self, values: pa.Array) -> None:
        _, ends, content = values.buffers()
        offsets = np.frombuffer(ends, np.int32)[values.offset : values.offset + len(values) + 1]
        self._lengths.update(np.diff(offsets).astype("<i4", copy=False).data)
        if content is not None:
            self._content.update(memoryview(content)[offsets[0] : offsets[-1]])

    def _add_lists(self, values: pa.Array) -> None:
        self._lengths.update(pc.list_value_length(values).to_numpy().astype("<i4", copy=False).data)
        self._inner[0].add(values.flatten())

    def _add_structs(self, values: pa.Array) -> None:
        for inner, member in zip(self._inner, values.flatten(), strict=True):
            inner.add(member)
