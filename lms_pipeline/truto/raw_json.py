"""JSON that is not decoded whole: one field, the count of its items, and what msgspec refuses though it is legal.

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
MAX_PAGE_ITEMS = 500_000
"""Records of one body, or members of one object of it: without decoding a record, a page of 64 MB with 30 million numbers for
records takes 2 GB."""
MAX_SEARCHED_BYTES = 1_000
"""Bytes of a body in which its format is looked for."""
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]|,', re.DOTALL)
"""Strings, which hide what is in them, brackets and commas. One that is not closed goes on to the end of the body."""
_BYTE_ORDER_MARKS = re.compile(rb"(?:\xef\xbb\xbf)+")


class TooManyItemsError(Exception):
    """The body holds more records, or an object with more members, than is ever decoded."""


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


def check_item_count(body: bytes) -> None:
    """Check that neither the records of a body nor the members of its envelope are too many to be split.

    Nothing is decoded. A body that is too small for so many, or has too few commas, is not searched.

    Raises:
        TooManyItemsError: they are too many.
    """
    if len(body) < 2 * MAX_PAGE_ITEMS or body.count(b",") < MAX_PAGE_ITEMS:
        return
    max_depth = 1 if body[:MAX_SEARCHED_BYTES].lstrip().startswith(b"[") else 2
    depth = commas = 0
    for match in _STRUCTURE.finditer(body):
        match body[match.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += 1
            case 0x5D | 0x7D:  # ] }
                depth -= 1
            case 0x2C:  # ,
                commas += depth <= max_depth
                if commas >= MAX_PAGE_ITEMS:
                    raise TooManyItemsError
