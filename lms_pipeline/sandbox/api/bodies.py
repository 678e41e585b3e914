"""Bodies of answers, put together from the bytes that a world gives.

What belongs here: the formats: how records become the JSON of an object and of a page. What a provider said is passed
on to the byte. The shape of `normalized` isn't published: here it is tables that refer to each other by id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lms_pipeline.sandbox.wire.debugging import with_debug

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lms_pipeline.sandbox.api.query import Query
    from lms_pipeline.sandbox.world import Record

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


class Written(NamedTuple):
    """What a page says besides its records."""

    next_cursor: str | None = None
    is_partial: bool = False


def object_body(record: Record, query: Query) -> bytes:
    """A single object in the format that is asked for, without an envelope; raw is null where the world has none."""
    match query.format:
        case "raw" | "stream":
            return record.remote or b"null"
        case "normalized":
            return _normalized([record])
        case "debug":
            return with_debug(_unified(record, query))
        case _:
            return _unified(record, query)


def page_body(records: Sequence[Record], query: Query, written: Written, *, bare_raw: bool = False) -> bytes:
    """A page of a list in the format that is asked for."""
    match query.format:
        case "raw" if bare_raw:
            return _array(record.remote or b"null" for record in records)
        case "raw":
            result = _array(record.remote or b"null" for record in records)
        case "normalized":
            result = _normalized(records)
        case _ if query.key_by is not None:
            result = _keyed(records, query)
        case _:
            result = _array(_unified(record, query) for record in records)
    body = envelope(result, written.next_cursor, len(records), is_partial=written.is_partial)
    return with_debug(body) if query.format == "debug" else body


def envelope(result: bytes, next_cursor: str | None, count: int, *, is_partial: bool = False) -> bytes:
    """The envelope of the unified lists; the cursor back is never told."""
    partial = b',"is_partial_response":true' if is_partial else b""
    return b'{"result":%b,"next_cursor":%b,"prev_cursor":null,"result_count":%d%b}' % (
        result,
        _encode(next_cursor),
        count,
        partial,
    )


def _unified(record: Record, query: Query) -> bytes:
    if query.exclude_fields:
        members = _members(record.unified)
        kept = {name: value for name, value in members.items() if name not in query.exclude_fields}
        unified = _encode(kept)
    else:
        unified = record.unified
    if record.remote is None or query.ignore_remote_data or "remote_data" in query.exclude_fields:
        return unified
    comma = b"" if unified == b"{}" else b","
    return b'%b%b"remote_data":%b}' % (unified[:-1], comma, record.remote)


def _keyed(records: Iterable[Record], query: Query) -> bytes:
    """An object by the value of a field, as JavaScript makes keys; of two with one key the last one stays."""
    by_key = {_key(record, query.key_by or ""): msgspec.Raw(_unified(record, query)) for record in records}
    return _encode(by_key)


def _key(record: Record, name: str) -> str:
    value = bytes(_members(record.unified).get(name, msgspec.Raw(b'"undefined"')))
    if value.startswith(b'"'):
        return str(msgspec.json.decode(value))
    return "[object Object]" if value.startswith(b"{") else value.decode()


def _normalized(records: Iterable[Record]) -> bytes:
    tables: dict[str, dict[str, msgspec.Raw]] = {"records": {}, "user": {}, "course": {}}
    for record in records:
        members = _members(record.unified)
        for name in ("user", "course"):
            reference = _id(members[name]) if name in members else None
            if reference is not None:
                tables[name][reference] = members[name]
                members[name] = msgspec.Raw(_encode(reference))
        whole = msgspec.Raw(_encode(members))
        tables["records"][_id(whole) or str(len(tables["records"]))] = whole
    return _encode(tables)


def _id(raw: msgspec.Raw) -> str | None:
    """The id of an object; None of what is none, or has none."""
    try:
        value = msgspec.json.decode(_members(raw).get("id", msgspec.Raw(b"null")))
    except msgspec.ValidationError:
        return None
    return None if value is None else str(value)


def _array(values: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(values)
