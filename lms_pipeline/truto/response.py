"""Bodies of responses: split into records, which are not decoded; secrets removed, bytes repaired.

Belongs here: the envelope, and the keys of a record that may hold credentials. Not here: the other fields of a record
(`transform/`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
D = TypeVar("D")

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises if JSON is not of the type, or is nested deeper than Python's stack."""

MAX_CURSOR_LENGTH = 8_000
"""Characters of a cursor: servers accept no longer URL."""
MAX_COUNT_DIGITS = 18
"""Digits of a count that is sent as text; a longer one is not read."""

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes in order of reading: a pair (kept), half a pair (group 1), any other escape (kept)."""
_SECRET_KEYS = ("debug", "context")
"""Keys under which Truto may show how it signs in to the LMS."""
_ENVELOPE_KEYS = {
    *("result", "results", "next_cursor", "prev_cursor", "result_count", "is_partial_response"),
    *_SECRET_KEYS,
}
"""An object with any other key is a provider's own, whatever its `result` may be."""


class BadBodyError(Exception):
    """The body is not what the API sends; the message says why, without its contents."""


@dataclass(frozen=True, slots=True)
class Page:
    """The records of a page, each its JSON as received, and the cursor of the next page."""

    records: Sequence[msgspec.Raw]
    next_cursor: str | None
    """None at the end."""
    is_partial: bool
    """Records are missing: the provider sent only a part, or several had the same key."""
    received_at: datetime
    is_repaired: bool = False
    """Half an emoji in the body became U+FFFD: the record that had it is not kept to the byte."""
    has_envelope: bool = True
    """False for a provider's own body without an envelope: nothing says then whether there are more pages."""
    announced: int = 0
    """The `result_count` of the page: its own records or those of the whole list, https://truto.one/docs leaves it open;
    0 if it has none that can be read."""
    missing: int = 0
    """Records by which the list ended before the largest number that its pages announced; set on its last page."""


@dataclass(frozen=True, slots=True)
class SingleRecord:
    """A record that was requested by its id: its JSON as received."""

    record: msgspec.Raw
    received_at: datetime


class _Envelope(msgspec.Struct):
    result: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    results: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    next_cursor: str | int | None = None
    is_partial_response: bool | None = None
    result_count: int | float | str | None = None

    @property
    def records(self) -> Sequence[msgspec.Raw] | None:
        """The records in a list; None if there are none under either name."""
        return list(self._found.values()) if isinstance(self._found, dict) else self._found

    @property
    def is_partial(self) -> bool:
        """Whether records are missing: Truto says so, or of several with the same key only the last is left."""
        count = self.result_count if isinstance(self.result_count, int) else 0
        return bool(self.is_partial_response) or (isinstance(self._found, dict) and count > len(self._found))

    @property
    def announced(self) -> int:
        """The count of the envelope, as a number or as its digits; 0 without one."""
        count = self.result_count
        if isinstance(count, str):
            return int(count) if count.isascii() and count.isdigit() and len(count) <= MAX_COUNT_DIGITS else 0
        return max(0, count) if isinstance(count, int) else 0

    @property
    def _found(self) -> list[msgspec.Raw] | dict[str, msgspec.Raw] | None:
        return self.result if self.result is not None else self.results

    def read_cursor(self) -> str | None:
        """Return the cursor of the next page; a number becomes a text, and an empty text is none.

        Raises:
            BadBodyError: no URL could hold it.
        """
        cursor = None if self.next_cursor in {None, ""} else str(self.next_cursor)
        if cursor is not None and len(cursor) > MAX_CURSOR_LENGTH:
            raise BadBodyError(f"has a cursor of over {MAX_CURSOR_LENGTH:,} characters")
        return cursor


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORDS: msgspec.json.Decoder[dict[str, msgspec.Raw] | list[msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | list[msgspec.Raw]
)


def read_page(body: bytes, received_at: datetime) -> Page:
    """Return the page in `body`; records stand under `result` or `results`, in a list or keyed.

    Raises:
        BadBodyError: cut short, no JSON, no UTF-8, or no list in it.
    """
    _, envelope, is_repaired = _decode(body, _ENVELOPE)
    records = envelope.records
    if records is None:
        raise BadBodyError("has no list under 'result'")
    return Page(
        records, envelope.read_cursor(), envelope.is_partial, received_at, is_repaired, announced=envelope.announced
    )


def read_raw_page(body: bytes, received_at: datetime) -> Page:
    """Return a page of a provider's own records: in Truto's envelope, in a bare list, or one bare object.

    Raises:
        BadBodyError: as for `read_page`.
    """
    body, value, is_repaired = _decode(body, _RECORDS)
    if isinstance(value, dict) and _is_envelope(value):
        envelope = _decode(body, _ENVELOPE)[1]
        return Page(
            envelope.records or [],
            envelope.read_cursor(),
            envelope.is_partial,
            received_at,
            is_repaired,
            announced=envelope.announced,
        )
    records = value if isinstance(value, list) else [msgspec.Raw(body)]
    return Page(records, None, is_partial=False, received_at=received_at, is_repaired=is_repaired, has_envelope=False)


def read_record(body: bytes, received_at: datetime) -> SingleRecord:
    """Return the one object that `body` is.

    Raises:
        BadBodyError: cut short, no JSON, no UTF-8, or no object.
    """
    body, _, _ = _decode(body, _OBJECT)
    return SingleRecord(msgspec.Raw(body.strip()), received_at)


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


def remove_secrets(body: bytes) -> bytes:
    """Return Truto's JSON without `debug` and `context` in envelope and records; a body with neither stays as it is."""
    if not any(b'"%b"' % key.encode() in body for key in _SECRET_KEYS):
        return body
    members = _try_decode(body, _OBJECT)
    if members is None:
        return body
    for name in members.keys() & {"result", "results"}:
        match _try_decode(members[name], _RECORDS):
            case dict() as records:
                members[name] = _encode({key: _clean_record(record) for key, record in records.items()})
            case list() as records:
                members[name] = _encode([_clean_record(record) for record in records])
    return bytes(_encode(_drop_secret_keys(members)))


def remove_envelope_secrets(body: bytes) -> bytes:
    """Return a provider's own body without `debug` and `context` of Truto's envelope around it, if there is one."""
    members = _try_decode(body, _OBJECT)
    if members is None or not _is_envelope(members) or not members.keys() & set(_SECRET_KEYS):
        return body
    return bytes(_encode(_drop_secret_keys(members)))


def _clean_record(record: msgspec.Raw) -> msgspec.Raw:
    members = _try_decode(record, _OBJECT)
    if members is None or not members.keys() & set(_SECRET_KEYS):
        return record
    return _encode(_drop_secret_keys(members))


def _drop_secret_keys(members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    return {name: value for name, value in members.items() if name not in _SECRET_KEYS}


def _try_decode(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Return the value in JSON; None for anything of another type, which stays as it is."""
    try:
        return decoder.decode(replace_lone_surrogates(bytes(body)))
    except DECODE_ERRORS:
        return None


def _is_envelope(members: dict[str, msgspec.Raw]) -> bool:
    return members.keys() <= _ENVELOPE_KEYS and bool(members.keys() & {"result", "results"})


def _encode(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[bytes, T, bool]:
    """Return the body, its value, and whether the body had to be repaired for it."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadBodyError("is not UTF-8") from None
    try:
        return body, decoder.decode(body), False
    except msgspec.ValidationError:
        raise BadBodyError("is JSON, but not what was requested") from None
    except msgspec.DecodeError:
        repaired = replace_lone_surrogates(body)
    except RecursionError:
        raise BadBodyError("is nested too deeply") from None
    try:
        return repaired, decoder.decode(repaired), True
    except (msgspec.DecodeError, RecursionError):
        raise BadBodyError("is not JSON, or was cut short") from None


def replace_lone_surrogates(body: bytes) -> bytes:
    """Return the JSON with U+FFFD for each half emoji: legal JSON that msgspec refuses."""
    return _LONE_SURROGATE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
