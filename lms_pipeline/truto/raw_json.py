"""JSON that is decoded a value at a time: one field, and what msgspec refuses though it is legal.

Belongs here: nothing that knows Truto. Not here: bodies of responses (`response.py`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
D = TypeVar("D")

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises if JSON is not of the type, or is nested deeper than Python's stack."""
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes in order of reading: a pair (kept), half a pair (group 1), any other escape (kept)."""
_REPLACEMENT = rb"\ufffd"
"""As long as the escape that it replaces."""
_BYTE_ORDER_MARKS = re.compile(rb"(?:\xef\xbb\xbf)+")


def read_field(raw: bytes | msgspec.Raw | msgspec.UnsetType | None, type_: type[T], default: D) -> T | D:
    """Return one JSON value as `type_`; `default` if it is absent, of another type or unreadable."""
    if raw is None or isinstance(raw, msgspec.UnsetType):
        return default
    decoder = _build_decoder(type_)  # type: ignore[arg-type] # a type is hashable
    try:
        value: T = decoder.decode(raw)
    except DECODE_ERRORS:
        try:
            value = decoder.decode(replace_lone_surrogates(bytes(raw)))
        except DECODE_ERRORS:
            return default
    return value


def read_object(raw: bytes | msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """Return the members of an object; an empty dict for anything else.

    They are not decoded: one of another type must not hide the others.
    """
    return read_field(raw, dict[str, msgspec.Raw], {})


@cache
def _build_decoder(type_: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 (any type)
    return msgspec.json.Decoder(type_)


def skip_byte_order_mark(body: bytes) -> bytes:
    """Return the JSON after a byte order mark, which RFC 8259, 8.1, allows a reader to ignore; some servers send several."""
    mark = _BYTE_ORDER_MARKS.match(body)
    return body[mark.end() :] if mark else body


def replace_lone_surrogates(body: bytes) -> bytes:
    """Return the JSON with U+FFFD for each half emoji: legal JSON that msgspec refuses."""
    repaired: bytearray | None = None
    for escape in _LONE_SURROGATE.finditer(body):
        if escape[1]:
            repaired = bytearray(body) if repaired is None else repaired
            repaired[escape.start() : escape.end()] = _REPLACEMENT
    return body if repaired is None else bytes(repaired)
