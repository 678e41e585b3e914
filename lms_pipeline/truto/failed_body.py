"""Bodies that say of themselves that the request failed, although the response has a success status.

Belongs here: which members are believed, with which values; `docs/truto.md` lists them for readers. Not here: reading a
page or a record (`response.py`), the error that follows (`errors.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

MIN_FAILURE_STATUS = 400
MAX_FAILURE_STATUS = 599
"""HTTP statuses of a failure. A larger number is a provider's own code (1000, 2000), which may well mean success."""

_ERROR_FIELDS = {
    *("error", "errors", "errormessage", "errormessages", "errordescription", "errorcode", "errortype"),
    *("exception", "exceptions", "fault", "faults", "failure", "failures", "failed"),
    *("iserror", "haserror", "haserrors"),
}
"""Each means a failure unless its value is empty, see `_is_empty`."""
_TRUTO_FIELDS = {"trutoisremoteerror", "trutoerrorinsight"}
"""Truto's own, likewise; they are part of no provider's record."""
_TRUTO_ERROR = {"statuscode", "error", "message"}
"""Every error body of Truto has these three: https://truto.one/docs, "Errors"."""
_SUCCESS_FIELDS = {"success", "successful", "succeeded", "issuccess", "issuccessful", "ok", "isok"}
"""Each means a failure if its value is false."""
_STATUS_CODE_FIELDS = {"statuscode", "httpstatus", "httpstatuscode", "httpcode", "responsecode"}
_STATUS_FIELDS = {"status", "code", "state", "type", "object", "responsestatus", *_STATUS_CODE_FIELDS}
"""Each means a failure with an HTTP status of one, or with a word such as "error"."""
_NESTED_FIELDS = {"meta", "metadata", "status", "responsestatus"}
"""Objects in an envelope, whose members count like its own."""
_MESSAGE_FIELDS = ("message", "detail", "details", "errormessage", "errordescription", "description", "reason", "title")
"""Where a failure is described, in the order in which they are looked up."""
_REQUEST_FIELDS = {"path", "timestamp", "time", "requestid", "traceid", "correlationid", "help", "documentationurl"}
"""What an error says about its request."""
_MESSAGE_ONLY = {"message", *_REQUEST_FIELDS}
"""An object with a message and nothing but these is no record: AWS's gateway sends `{"message": ...}`, for example."""
_KNOWN_FIELDS = {
    *(_ERROR_FIELDS | _SUCCESS_FIELDS | _STATUS_FIELDS | _NESTED_FIELDS | _REQUEST_FIELDS | set(_MESSAGE_FIELDS)),
    *("messages", "warnings", "instance", "stack", "rawresponse", "data", "debug", "context", "id"),
    *("result", "results", "resultcount", "nextcursor", "prevcursor", "ispartialresponse", "limit"),
}
"""An object with any other member is a record, and its members mean what its provider wants."""

_EMPTY_WORDS = {
    *("", "false", "no", "none", "null", "nil", "na", "ok", "okay", "success", "successful", "succeeded"),
    *("errornone", "errorsnone"),
}
"""The texts of an error that say that there is none, as `_read_word` returns them."""
_NO_FAILURE = re.compile(
    r"(no|non|without|zero|0)(any)?(errors?|exceptions?|faults?|failures?)(found|occurred|reported|detected)?"
)
"""More of them, such as "No errors found."."""
_FALSE_TEXTS = {"false", "no", "0", "0.0", "off", "n", "f"}
_MAX_DEPTH = 5
"""Levels of an error that are searched; one that is nested deeper is not empty."""
_FAILURE_WORDS = {
    *("fail", "fault", "err", "errors", "errored", "faulted", "ko", "nok", "notok", "exception", "unsuccessful"),
    *("aborted", "denied", "rejected", "invalid", "unavailable", "timeout", "timedout", "down"),
    *(re.sub(r"\W", "", one.phrase.lower()) for one in HTTPStatus if one >= MIN_FAILURE_STATUS),
}
_FAILURE_ENDINGS = ("error", "failed", "failure")
_LEADING_STATUS = re.compile(r"(\d{3,9})(?![\w.])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a body says about its own failure."""

    field: str
    """The member that says it, as the body spells it."""
    status: int | None
    """The HTTP status in the body, if there is one of a failure."""
    message: str
    is_remote: bool
    """Whether the body says that the provider behind Truto failed."""


def find_envelope_failure(members: Mapping[str, msgspec.Raw]) -> Failure | None:
    """Return what an envelope says about its failure; None if it says nothing of the kind.

    Every sign counts: an envelope describes the request, and none of its members belongs to a record.
    """
    decoded = _decode_members(members, _KNOWN_FIELDS | _TRUTO_FIELDS)
    for member in (*decoded, *_get_nested(decoded)):
        if _is_sign(member):
            return _describe(member.spelling, decoded)
    return None


def find_object_failure(members: Mapping[str, msgspec.Raw]) -> Failure | None:
    """Return what an object says that should be a record and is an error; None for a record.

    A record may have a status "failed", or a code of 500. Therefore an object is an error only if all of its members are
    those of an error, and one of them can't belong to a record; or if it holds nothing but a message. Truto's own errors are
    recognized beside any members.
    """
    names = {normalize_name(name) for name in members}
    if "message" in names and names <= _MESSAGE_ONLY:
        return _describe("message", _decode_members(members, _KNOWN_FIELDS))
    believed = _TRUTO_FIELDS | _choose_believed(names)
    if not names & believed:
        return None
    for member in _decode_members(members, believed):
        if _is_sign(member):
            return _describe(member.spelling, _decode_members(members, _KNOWN_FIELDS | _TRUTO_FIELDS))
    return None


def _choose_believed(names: set[str]) -> set[str]:
    """Return the fields that are believed in an object with these members, besides Truto's own."""
    if not names <= _KNOWN_FIELDS | _TRUTO_FIELDS:
        return {"statuscode"} if names >= _TRUTO_ERROR else set()
    believed = _ERROR_FIELDS | _STATUS_CODE_FIELDS
    if "id" not in names:
        believed = believed | _SUCCESS_FIELDS
        if names & {"message", "detail", "details"}:
            believed = believed | _STATUS_FIELDS
    return believed


def has_only_known_fields(members: Mapping[str, msgspec.Raw]) -> bool:
    """Return whether each member is one of an envelope or of an error, apart from an id."""
    return {normalize_name(name) for name in members} <= (_KNOWN_FIELDS | _TRUTO_FIELDS) - {"id"}


def normalize_name(name: str) -> str:
    """Return the name of a member without case and separators: `statusCode` and `status_code` are one."""
    return name.replace("_", "").replace("-", "").lower()


class _Member(NamedTuple):
    name: str
    """Normalized; several members of an object may have the same."""
    spelling: str
    value: Any


def _decode_members(members: Mapping[str, msgspec.Raw], believed: set[str]) -> list[_Member]:
    """Return the members that say something about a failure; the records themselves are never decoded."""
    believed = believed - {"result", "results", "data", "rawresponse", "debug", "context", "stack"}
    found = ((normalize_name(name), name, raw) for name, raw in members.items())
    return [_Member(normal, name, _decode(raw)) for normal, name, raw in found if normal in believed]


def _get_members(value: object) -> list[_Member]:
    """Return the members of an object, none of another value."""
    items = value.items() if isinstance(value, dict) else ()
    return [_Member(normalize_name(name), name, member) for name, member in items]


def _get_nested(members: Iterable[_Member]) -> list[_Member]:
    return [inner for one in members if one.name in _NESTED_FIELDS for inner in _get_members(one.value)]


def _decode(raw: msgspec.Raw) -> object:
    """Return a JSON value; one that can't be decoded, as half an emoji, is the text that it is."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(raw).decode(errors="replace")


def _is_sign(member: _Member) -> bool:
    """Return whether a member says that the request failed."""
    name, _, value = member
    if name in _ERROR_FIELDS | _TRUTO_FIELDS:
        return not _is_empty(value)
    if name in _SUCCESS_FIELDS:
        return isinstance(value, bool | int | float | str) and str(value).strip().lower() in _FALSE_TEXTS
    if name not in _STATUS_FIELDS:
        return False
    if name == "status" and value is False:
        return True
    return _read_status(value) is not None or (isinstance(value, str) and _is_failure_word(value))


def _is_empty(value: object, depth: int = 0) -> bool:
    """Return whether a value says that there is no error: null, false, zero, a text for one of them, or only such."""
    if isinstance(value, str):
        word = _read_word(value)
        return word in _EMPTY_WORDS or not word.strip("0") or _NO_FAILURE.fullmatch(word) is not None
    if not isinstance(value, dict | list):
        return not value
    items = value.values() if isinstance(value, dict) else value
    return depth < _MAX_DEPTH and all(_is_empty(one, depth + 1) for one in items)


def _is_failure_word(text: str) -> bool:
    word = _read_word(text)
    return word in _FAILURE_WORDS or (word.endswith(_FAILURE_ENDINGS) and not _NO_FAILURE.fullmatch(word))


def _read_word(text: str) -> str:
    """Return the letters and digits of a text: `NO_ERROR` and `No error.` are one word."""
    return re.sub(r"[\W_]", "", text.lower())


def _read_status(value: object) -> int | None:
    """Return the HTTP status of a failure; None for any other value."""
    if isinstance(value, str):
        leading = _LEADING_STATUS.match(value.strip())
        value = int(leading[1]) if leading else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if MIN_FAILURE_STATUS <= value <= MAX_FAILURE_STATUS else None


def _describe(field: str, members: list[_Member]) -> Failure:
    levels = [*members, *_get_nested(members)]
    statuses = (_read_status(one.value) for one in levels if one.name in _STATUS_FIELDS)
    return Failure(
        field,
        next((status for status in statuses if status is not None), None),
        next(_find_texts(members), ""),
        is_remote=any(one.name == "trutoisremoteerror" and one.value is True for one in members),
    )


def _find_texts(members: list[_Member], depth: int = 0) -> Iterator[str]:
    """Yield the texts that describe a failure, those of its own members before those of the errors in it."""
    for name in _MESSAGE_FIELDS:
        yield from (
            one.value for one in members if one.name == name and isinstance(one.value, str) and one.value.strip()
        )
    for one in members if depth < _MAX_DEPTH else ():
        if one.name in _ERROR_FIELDS | _NESTED_FIELDS:
            first = one.value[0] if isinstance(one.value, list) and one.value else one.value
            if isinstance(first, str) and one.name in _ERROR_FIELDS:
                yield first
            yield from _find_texts(_get_members(first), depth + 1)
