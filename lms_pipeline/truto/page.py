"""One page of a list: the body split into records, without reading them.

What belongs here: the envelope. What is inside a record is `enrollments/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes in order of reading: a pair (kept), half a pair (group 1), any other escape (kept)."""

ABSENT = msgspec.Raw(b"")
"""The value of a field that a body doesn't have."""


class BadBodyError(Exception):
    """The body is not what the API answers; the message says in what way, without its contents."""


@dataclass(frozen=True, slots=True)
class Page:
    """The records of a page, each its JSON as received, and the way to the next page."""

    records: Sequence[msgspec.Raw]
    next_cursor: str | None
    """None at the end."""
    is_partial: bool
    """Truto says that the provider gave only a part."""
    received_at: datetime
    is_repaired: bool = False
    """Half an emoji in the body became U+FFFD: of a record that had one, what is kept is not to the byte."""


class _Envelope(msgspec.Struct):
    result: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    results: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    next_cursor: str | int | None = None
    is_partial_response: bool | None = None


_DECODER = msgspec.json.Decoder(_Envelope)


def read_page(body: bytes, received_at: datetime) -> Page:
    """The page in `body`; records under `result` or `results`, in a list or keyed.

    Raises:
        BadBodyError: cut short, no JSON, no UTF-8, or no list in it.
    """
    envelope, is_repaired = _decode(body)
    records = envelope.result if envelope.result is not None else envelope.results
    if records is None:
        raise BadBodyError("has no list under 'result'")
    return Page(
        list(records.values()) if isinstance(records, dict) else records,
        str(envelope.next_cursor) if envelope.next_cursor not in {None, ""} else None,
        bool(envelope.is_partial_response),
        received_at,
        is_repaired,
    )


def _decode(body: bytes) -> tuple[_Envelope, bool]:
    """The envelope, and whether the body had to be repaired for it."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadBodyError("is not UTF-8") from None
    try:
        return _DECODER.decode(body), False
    except msgspec.ValidationError:
        raise BadBodyError("is JSON, but not the list that was asked for") from None
    except msgspec.DecodeError:
        return _decode_repaired(body), True
    except RecursionError:
        raise BadBodyError("is nested too deeply") from None


def _decode_repaired(body: bytes) -> _Envelope:
    try:
        return _DECODER.decode(without_lone_surrogates(body))
    except (msgspec.DecodeError, RecursionError):
        raise BadBodyError("is not JSON, or was cut short") from None


def without_lone_surrogates(body: bytes) -> bytes:
    """An emoji that a provider cut in half is legal JSON that msgspec refuses: it becomes U+FFFD."""
    return _LONE_SURROGATE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
