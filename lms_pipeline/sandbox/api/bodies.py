"""The JSON of records and pages in the formats of the API.

A provider's own bytes are passed on unchanged. The shape of `normalized` isn't published: here it is tables that refer
to each other by id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.http import add_debug, decode_members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lms_pipeline.sandbox.api.query import Query
    from lms_pipeline.sandbox.pagination import Page
    from lms_pipeline.sandbox.world import Record

_encode = msgspec.json.encode


def encode_object(record: Record, query: Query) -> bytes:
    """Return one object in the format of the query, without an envelope; raw is null if the world has none."""
    match query.format:
        case "raw" | "stream":
            return record.remote or b"null"
        case "normalized":
            return _encode_normalized([record])
        case "debug":
            return add_debug(_encode_unified(record, query))
        case _:
            return _encode_unified(record, query)


def encode_page(page: Page, query: Query, next_cursor: str | None, *, bare_raw: bool = False) -> bytes:
    """Return a page in the format of the query; `bare_raw` leaves out the envelope of a raw page."""
    match query.format:
        case "raw":
            result = _encode_array(record.remote or b"null" for record in page.records)
            if bare_raw:
                return result
        case "normalized":
            result = _encode_normalized(page.records)
        case _ if query.key_by is not None:
            result = _encode_keyed(page.records, query, query.key_by)
        case _:
            result = _encode_array(_encode_unified(record, query) for record in page.records)
    body = b'{"result":%b,"next_cursor":%b,"prev_cursor":null,"result_count":%d%b}' % (
        result,
        _encode(next_cursor),
        len(page.records),
        b',"is_partial_response":true' if page.is_partial else b"",
    )
    return add_debug(body) if query.format == "debug" else body


def _encode_unified(record: Record, query: Query) -> bytes:
    unified = record.unified
    if query.exclude_fields:
        members = decode_members(unified)
        unified = _encode({name: value for name, value in members.items() if name not in query.exclude_fields})
    if record.remote is None or query.ignore_remote_data or "remote_data" in query.exclude_fields:
        return unified
    comma = b"" if unified == b"{}" else b","
    return b'%b%b"remote_data":%b}' % (unified[:-1], comma, record.remote)


def _encode_keyed(records: Iterable[Record], query: Query, field: str) -> bytes:
    """Return an object by the value of a field, with keys as JavaScript writes them; the last record of a key wins."""
    return _encode({_read_key(record, field): msgspec.Raw(_encode_unified(record, query)) for record in records})


def _read_key(record: Record, field: str) -> str:
    value = bytes(decode_members(record.unified).get(field, msgspec.Raw(b'"undefined"')))
    if value.startswith(b'"'):
        return str(msgspec.json.decode(value))
    return "[object Object]" if value.startswith(b"{") else value.decode()


def _encode_normalized(records: Iterable[Record]) -> bytes:
    tables: dict[str, dict[str, msgspec.Raw]] = {"records": {}, "user": {}, "course": {}}
    for record in records:
        members = decode_members(record.unified)
        for name in ("user", "course"):
            reference = _read_id(members[name]) if name in members else None
            if reference is not None:
                tables[name][reference] = members[name]
                members[name] = msgspec.Raw(_encode(reference))
        encoded = msgspec.Raw(_encode(members))
        tables["records"][_read_id(encoded) or str(len(tables["records"]))] = encoded
    return _encode(tables)


def _read_id(raw: msgspec.Raw) -> str | None:
    """Return the id of an object; None for another value, or without an id."""
    try:
        value = msgspec.json.decode(decode_members(raw).get("id", msgspec.Raw(b"null")))
    except msgspec.ValidationError:
        return None
    return None if value is None else str(value)


def _encode_array(values: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(values)
