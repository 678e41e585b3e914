"""Arrow rows cut into slices by their size in bytes.

Belongs here: only the cut. What is done slice by slice is in the modules that call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pyarrow as pa

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def iter_slices(rows: Rows, max_bytes: int) -> Iterator[Rows]:
    """Yield the rows, in their order, in slices of at most `max_bytes`; a larger row is a slice of its own."""
    # the buffers of a page are measured in 2 µs, its rows in 80: of a slice they may be fewer than its buffers
    if rows.num_rows <= 1 or rows.get_total_buffer_size() <= max_bytes or rows.nbytes <= max_bytes:
        yield rows
        return
    middle = rows.num_rows // 2
    yield from iter_slices(rows.slice(0, middle), max_bytes)
    yield from iter_slices(rows.slice(middle), max_bytes)
