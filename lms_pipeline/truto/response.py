"""Bodies of responses: split into records, which are not decoded; bytes repaired.

Belongs here: the envelope. Not here: the fields of a record (`transform/`), the removal of secrets (`secret_keys.py`).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from lms_pipeline.truto.failed_body import Failure, find_envelope_failure, find_object_failure, has_only_known_fields
from lms_pipeline.truto.raw_json import DECODE_ERRORS, MAX_SEARCHED_BYTES, read_object, replace_lone_surrogates

T = TypeVar("T")

MAX_CURSOR_LENGTH = 8_000
"""Characters of a cursor: servers accept no longer URL."""
MAX_COUNT_DIGITS = 18
"""Digits of a count that is sent as text; a longer one is not read."""

MAX_RECORD_BYTES = 8 * 2**20
"""Bytes of one record. SCORM allows a unit 64 KB of its own data, so a course of 100 units has 6.4 MB; a record has up to
20 times its size in memory while it becomes a row."""
_SMALL_BYTES = 2**14

_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""A byte that compressed data have early, and no text has."""
_TRIED_AGAIN = (b"{", b"[", b"null", b"<!doctype html", b"<html")
SECRET_KEYS = ("debug", "context")
"""Keys under which Truto may show how it signs in to the LMS; `secret_keys.py` removes them."""
_ENVELOPE_KEYS = {
    *("result", "results", "next_cursor", "prev_cursor", "result_count", "is_partial_response"),
    *SECRET_KEYS,
}
"""An object with any other key is a provider's own, whatever its `result` may be."""


class BadBodyError(Exception):
    """The body is not what the API sends; the message says why, without its contents."""


class FailedBodyError(BadBodyError):
    """The body says of itself that the request failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__("says that the request failed")
        self.failure = failure


class OtherFormatError(BadBodyError):
    """The body of a provider's own records is neither a JSON object nor a list, and no page of HTML: XML or CSV, say."""

    def __init__(self) -> None:
        super().__init__("is neither a JSON object nor a list")


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

    @property
    def has_record(self) -> bool:
        """Whether there is a record that can be stored; a null in the list is none."""
        return any(bytes(memoryview(one)[:5]) != b"null" and not is_too_large(one) for one in self.records)


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
        return list(self.found.values()) if isinstance(self.found, dict) else self.found

    @property
    def is_partial(self) -> bool:
        """Whether records are missing: Truto says so, or of several with the same key only the last is left."""
        return bool(self.is_partial_response) or (isinstance(self.found, dict) and self.announced > len(self.found))

    @property
    def announced(self) -> int:
        """The count of the envelope, as a number or as its digits; 0 without one."""
        count = self.result_count
        if isinstance(count, str):
            return int(count) if count.isascii() and count.isdigit() and len(count) <= MAX_COUNT_DIGITS else 0
        return max(0, count) if isinstance(count, int) else 0

    @property
    def found(self) -> list[msgspec.Raw] | dict[str, msgspec.Raw] | None:
        """What is under either name."""
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


class _PlainEnvelope(_Envelope, forbid_unknown_fields=True):
    """The envelope of nearly all pages: it has a list of records, and no member that could report a failure."""

    result: list[msgspec.Raw] | None = None
    results: list[msgspec.Raw] | None = None
    prev_cursor: msgspec.Raw | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PLAIN_ENVELOPE = msgspec.json.Decoder(_PlainEnvelope)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORDS: msgspec.json.Decoder[dict[str, msgspec.Raw] | list[msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | list[msgspec.Raw]
)


def read_page(body: bytes, received_at: datetime) -> Page:
    """Return the page in `body`; records stand under `result` or `results`, in a list or keyed.

    Raises:
        FailedBodyError: the body says that the request failed.
        BadBodyError: cut short, no JSON, no UTF-8, or no list in it.
    """
    check_utf8(body)
    with suppress(*DECODE_ERRORS):
        return _build_page(_PLAIN_ENVELOPE.decode(body), received_at, is_repaired=False)
    body, members, is_repaired = _decode(body, _OBJECT)
    check_envelope(members)
    return _build_page(_decode(body, _ENVELOPE)[1], received_at, is_repaired=is_repaired)


def read_raw_page(body: bytes, received_at: datetime) -> Page:
    """Return a page of a provider's own records: in Truto's envelope, in a bare list, or one bare object.

    An object under `result` is one record: its keys are the provider's.

    Raises:
        OtherFormatError: the body has another format.
        BadBodyError: as for `read_page`.
    """
    if _has_other_format(body):
        raise OtherFormatError
    body, value, is_repaired = _decode(body, _RECORDS)
    if isinstance(value, dict):
        if _is_possible_envelope(value):
            check_envelope(value)
        if is_envelope(value):
            envelope = _decode(body, _ENVELOPE)[1]
            records = _require_records(envelope)
            if isinstance(envelope.found, dict):
                records = [value["results" if envelope.result is None else "result"]]
            _check_records(records)
            is_partial, cursor = bool(envelope.is_partial_response), envelope.read_cursor()
            announced = 0 if isinstance(envelope.found, dict) else envelope.announced
            return Page(records, cursor, is_partial, received_at, is_repaired, announced=announced)
    records = value if isinstance(value, list) else [msgspec.Raw(body.strip())]
    _check_records(records)
    return Page(records, None, is_partial=False, received_at=received_at, is_repaired=is_repaired, has_envelope=False)


def _has_other_format(body: bytes) -> bool:
    """Return whether a body is a text, but neither JSON, which may be cut short, nor HTML, which servers send when they fail."""
    start = body[:MAX_SEARCHED_BYTES].lstrip()
    is_text = bool(start) and _CONTROL_BYTE.search(start) is None
    return is_text and not start.lower().startswith(_TRIED_AGAIN)


def read_raw_pair(body: bytes, received_at: datetime) -> Page:
    """Return the provider's own record of one pair, as `read_raw_page`; null is no record.

    Raises:
        BadBodyError: as for `read_page`.
    """
    if body.strip() == b"null":
        return Page([], None, is_partial=False, received_at=received_at, has_envelope=False)
    return read_raw_page(body, received_at)


def read_record(body: bytes, received_at: datetime) -> SingleRecord:
    """Return the one object that `body` is.

    Raises:
        FailedBodyError: the object is an error and no record.
        BadBodyError: cut short, no JSON, no UTF-8, or no object.
    """
    body, members, _ = _decode(body, _OBJECT)
    _raise_failure(find_object_failure(members))
    return SingleRecord(msgspec.Raw(body.strip()), received_at)


def is_too_large(record: msgspec.Raw) -> bool:
    """Return whether a record is never decoded, because of its size."""
    return memoryview(record).nbytes > MAX_RECORD_BYTES


def check_envelope(members: dict[str, msgspec.Raw]) -> None:
    """Check that an envelope does not say of itself that the request failed; so may an object in place of its records.

    Raises:
        FailedBodyError: it says so.
    """
    if not members.keys() <= _ENVELOPE_KEYS:
        _raise_failure(find_envelope_failure(members))
    for name in members.keys() & {"result", "results"}:
        if bytes(memoryview(members[name])[:1]) == b"{":
            _raise_failure(find_object_failure(read_object(members[name])))


def _build_page(envelope: _Envelope, received_at: datetime, *, is_repaired: bool) -> Page:
    records = _require_records(envelope)
    _check_records(records)
    return Page(
        records, envelope.read_cursor(), envelope.is_partial, received_at, is_repaired, announced=envelope.announced
    )


def _require_records(envelope: _Envelope) -> Sequence[msgspec.Raw]:
    if envelope.records is None:
        raise BadBodyError("has no list under 'result'")
    return envelope.records


def _check_records(records: Sequence[msgspec.Raw]) -> None:
    """Check that the records are not errors, all of them; one among others is a record that can't be used."""
    failure = _find_failure(records[0]) if records else None
    if failure is not None and all(_find_failure(record) for record in records[1:]):
        raise FailedBodyError(failure)


def _find_failure(record: msgspec.Raw) -> Failure | None:
    """Return the failure that a record reports. One that is too large is no error message."""
    return None if is_too_large(record) else find_object_failure(read_object(record))


def _raise_failure(failure: Failure | None) -> None:
    if failure is not None:
        raise FailedBodyError(failure)


def is_envelope(members: dict[str, msgspec.Raw]) -> bool:
    """Return whether an object is Truto's envelope: with no other keys, or with a cursor and those of a success."""
    if members.keys() <= _ENVELOPE_KEYS:
        return bool(members.keys() & {"result", "results"})
    return "next_cursor" in members and _is_possible_envelope(members)


def _is_possible_envelope(members: dict[str, msgspec.Raw]) -> bool:
    """Return whether an object has a list of records, or null for it, and otherwise only keys of envelopes and errors."""
    found = [bytes(memoryview(members[name])[:1]) for name in ("result", "results") if name in members]
    return bool(found) and set(found) <= {b"[", b"n", b"{"} and has_only_known_fields(members)


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[bytes, T, bool]:
    """Return the body, its value, and whether the body had to be repaired for it."""
    check_utf8(body)
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


def check_utf8(body: bytes) -> None:
    """Check that a body is UTF-8, without a text of it, which takes four times as much if it has one emoji.

    Raises:
        BadBodyError: it isn't.
    """
    try:
        if len(body) <= _SMALL_BYTES:  # five times faster: Arrow is for large bodies
            body.decode()
        else:
            _check_large_utf8(body)
    except ValueError:  # Python's and Arrow's errors are
        raise BadBodyError("is not UTF-8") from None


def _check_large_utf8(body: bytes) -> None:
    import pyarrow as pa  # Dagster loads the definitions without it

    offsets = pa.py_buffer(array("i", (0, len(body))))
    pa.StringArray.from_buffers(1, offsets, pa.py_buffer(body)).validate(full=True)
