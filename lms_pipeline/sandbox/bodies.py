"""Bodies of answers, put together from the bytes that a world gives.

What belongs here: joining bytes into the JSON of an object and of a page. What a provider said is passed on to the
byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lms_pipeline.sandbox.query import Query
    from lms_pipeline.sandbox.world import Record


def object_body(record: Record, query: Query) -> bytes:
    """One record in the format that is asked for; raw is null where the world has none."""
    if query.format == "raw":
        return record.remote or b"null"
    if record.remote is None or query.ignore_remote_data:
        return record.unified
    return b'%b,"remote_data":%b}' % (record.unified[:-1], record.remote)


def page_body(objects: Iterable[bytes], next_cursor: str | None) -> bytes:
    """A page: the objects, and the cursor to what follows."""
    return b'{"result":[%b],"next_cursor":%b}' % (b",".join(objects), msgspec.json.encode(next_cursor))
