"""The bodies of answers: split into records, without reading them.

What belongs here: the envelope, and the keys of a record in which credentials may be. What else is inside a record is
`enrollments/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

T = TypeVar("T")

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes in order of reading: a pair (kept), half a pair (group 1), any other escape (kept)."""

MAX_CURSOR_LENGTH = 8_000
"""Characters: servers take no longer URL."""

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
    """Records are missing: the provider gave only a part, or several had the same key."""
    received_at: datetime
    is_repaired: bool = False
    """Half an emoji in the body became U+FFFD: of a record that had one, what is kept is not to the byte."""
    has_envelope: bool = True
    """False where a provider's own body came without one: nothing tells then whether there is more."""


@dataclass(frozen=True, slots=True)
class SingleRecord:
    """A record that was asked for by its id: its JSON as received."""

    record: msgspec.Raw
    received_at: datetime


class _Envelope(msgspec.Struct):
    result: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    results: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    next_cursor: str | int | None = None
    is_partial_response: bool | None = None
    result_count: int | float | str | None = None

    @property
    def is_partial(self) -> bool:
        """Whether records are missing: Truto says so, or some that were keyed alike left only the last of them."""
        keyed = next((of for of in (self.result, self.results) if isinstance(of, dict)), None)
        is_short = keyed is not None and isinstance(self.result_count, int) and self.result_count > len(keyed)
        return bool(self.is_partial_response) or is_short


_DECODER = msgspec.json.Decoder(_Envelope)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW: msgspec.json.Decoder[dict[str, msgspec.Raw] | list[msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | list[msgspec.Raw]
)

_NEVER_KEPT = ("debug", "context")
"""Keys in which Truto may tell how it signs in to the LMS."""
_IN_ENVELOPES = {
    *("result", "results", "next_cursor", "prev_cursor", "result_count", "is_partial_response"),
    *_NEVER_KEPT,
}
"""An object with any other key is a provider's own, whatever its `result` may be."""


def read_page(body: bytes, received_at: datetime) -> Page:
    """The page in `body`; records under `result` or `results`, in a list or keyed.

    Raises:
        BadBodyError: cut short, no JSON, no UTF-8, or no list in it.
    """
    body, envelope, is_repaired = _decode(body, _DECODER)
    records = envelope.result if envelope.result is not None else envelope.results
    if records is None:
        raise BadBodyError("has no list under 'result'")
    listed = list(records.values()) if isinstance(records, dict) else records
    return Page(listed, _cursor(envelope), envelope.is_partial, received_at, is_repaired)


def read_raw_page(body: bytes, received_at: datetime) -> Page:
    """What a provider itself said: records in Truto's envelope, in a bare list, or a bare object, which is one record.

    Raises:
        BadBodyError: as for `read_page`.
    """
    body, told, is_repaired = _decode(body, _RAW)
    if isinstance(told, dict) and _is_envelope(told):
        envelope = _decode(body, _DECODER)[1]
        records = envelope.result if envelope.result is not None else envelope.results
        listed = list(records.values()) if isinstance(records, dict) else records or []
        return Page(listed, _cursor(envelope), envelope.is_partial, received_at, is_repaired)
    listed = told if isinstance(told, list) else [msgspec.Raw(body)]
    return Page(
        listed,
        next_cursor=None,
        is_partial=False,
        received_at=received_at,
        is_repaired=is_repaired,
        has_envelope=False,
    )


def read_record(body: bytes, received_at: datetime) -> SingleRecord:
    """The one object that `body` is.

    Raises:
        BadBodyError: cut short, no JSON, no UTF-8, or no object.
    """
    body, _, _ = _decode(body, _MEMBERS)
    return SingleRecord(msgspec.Raw(body.strip()), received_at)


def without_secrets(body: bytes) -> bytes:
    """Truto's JSON without `debug` and `context`, in the envelope and in records; to the byte where it has neither."""
    if not any(b'"%b"' % key.encode() in body for key in _NEVER_KEPT):
        return body
    members = _members(body)
    if members is None:
        return body
    for name in members.keys() & {"result", "results"}:
        match _listed(members[name]):
            case dict() as records:
                members[name] = _encoded({key: _cleaned(record) for key, record in records.items()})
            case list() as records:
                members[name] = _encoded([_cleaned(record) for record in records])
    return bytes(_encoded({name: of for name, of in members.items() if name not in _NEVER_KEPT}))


def _cleaned(record: msgspec.Raw) -> msgspec.Raw:
    members = _members(record)
    if members is None or not members.keys() & set(_NEVER_KEPT):
        return record
    return _encoded({name: of for name, of in members.items() if name not in _NEVER_KEPT})


def _members(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """The members of an object; None where it is none, which whoever reads it will tell."""
    try:
        return _MEMBERS.decode(without_lone_surrogates(bytes(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _listed(raw: msgspec.Raw) -> dict[str, msgspec.Raw] | list[msgspec.Raw] | None:
    """What comes under `result`; None where it is neither a list nor an object, which stays as it is."""
    try:
        return _RAW.decode(raw)
    except msgspec.DecodeError:
        return None


def raw_without_secrets(body: bytes) -> bytes:
    """The same of a provider's own body: only Truto's envelope around it is looked into, if there is one."""
    members = _members(body)
    if members is None or not _is_envelope(members) or not members.keys() & set(_NEVER_KEPT):
        return body
    return bytes(_encoded({name: of for name, of in members.items() if name not in _NEVER_KEPT}))


def _is_envelope(members: dict[str, msgspec.Raw]) -> bool:
    return members.keys() <= _IN_ENVELOPES and bool(members.keys() & {"result", "results"})


def _encoded(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _cursor(envelope: _Envelope) -> str | None:
    cursor = None if envelope.next_cursor in {None, ""} else str(envelope.next_cursor)
    if cursor is not None and len(cursor) > MAX_CURSOR_LENGTH:
        raise BadBodyError(f"has a cursor of over {MAX_CURSOR_LENGTH:,} characters")
    return cursor


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[bytes, T, bool]:
    """The body, what it says, and whether it had to be repaired for it."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadBodyError("is not UTF-8") from None
    try:
        return body, decoder.decode(body), False
    except msgspec.ValidationError:
        raise BadBodyError("is JSON, but not what was asked for") from None
    except msgspec.DecodeError:
        repaired = without_lone_surrogates(body)
    except RecursionError:
        raise BadBodyError("is nested too deeply") from None
    try:
        return repaired, decoder.decode(repaired), True
    except (msgspec.DecodeError, RecursionError):
        raise BadBodyError("is not JSON, or was cut short") from None


def without_lone_surrogates(body: bytes) -> bytes:
    """An emoji that a provider cut in half is legal JSON that msgspec refuses: it becomes U+FFFD."""
    return _LONE_SURROGATE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
