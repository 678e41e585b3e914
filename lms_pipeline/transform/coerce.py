"""Read one JSON value as the kind that the documentation gives it, or as what it can only mean.

Belongs here: single values, such as numbers in strings and numeric ids. Not here: the forms of a date (`timestamps.py`),
records (`reader.py`), and any default for a value that is not understood.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from lms_pipeline.transform.shapes import Kind
from lms_pipeline.transform.timestamps import has_last_instant, is_in_calendar, is_sentinel, parse_timestamp
from lms_pipeline.truto.raw_json import DECODE_ERRORS, read_field

OptionalRaw = msgspec.Raw | msgspec.UnsetType
"""The JSON of a field that a record may not have."""


MAX_TEXT_LENGTH = 10_000
"""Characters of an id, a name or any other text with a column. A name is repeated in the rows of all enrollments of its
learner, so that the memory of 32,768 rows is its size times that."""

Id = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=MAX_TEXT_LENGTH)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

STRICT_TYPES: dict[Kind, Any] = {
    "id": Id,
    "string": Text,
    "double": float,
    "int64": Int64,
    "bool": bool,
    "timestamp": datetime,
    "json": msgspec.Raw,
}
"""The type that the strict reader requires of each kind of a single record, apart from null."""
BATCH_TYPES = STRICT_TYPES | {"id": Text, "timestamp": str}
"""The types of records that are decoded at once: that an id is not blank, and a text a timestamp, is cheaper to check after."""
_STRICT_DECODERS = {kind: msgspec.json.Decoder(strict_type) for kind, strict_type in STRICT_TYPES.items()}

_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,3})?", re.ASCII)
"""A number in a string, also as Oracle writes it: `".5"`. msgspec's lax mode differs: it refuses `"+7"` and `"007"`, and
accepts `"nan"`."""
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class UnreadableValueError(Exception):
    """The value can't be read as its kind. The message gives the reason, without the value."""


class SentinelDateError(UnreadableValueError):
    """The value is a timestamp by which an LMS says that there is no date."""


def read_value(kind: Kind, raw: msgspec.Raw) -> Any:  # noqa: ANN401 (whatever the kind holds)
    """Return the value of a field, None if it is null or, unless it is a string, blank.

    Raises:
        UnreadableValueError: the value is neither as documented nor understood without guessing.
        SentinelDateError: it is a timestamp that means "no date".
    """
    try:
        strict = _STRICT_DECODERS[kind].decode(raw)
    except DECODE_ERRORS:
        pass
    else:
        if kind != "timestamp":
            return strict
        if not has_last_instant(bytes(raw)):
            return _check_instant(strict)
    try:
        value = msgspec.json.decode(raw)
    except DECODE_ERRORS:
        raise UnreadableValueError("is out of range") from None
    if value is None or (kind != "string" and isinstance(value, str) and not value.strip()):
        return None
    return _READERS[kind](value)


def read_value_or_none(kind: Kind, raw: OptionalRaw) -> Any:  # noqa: ANN401 (whatever the kind holds)
    """Return the value of a field like `read_value`, None also if it is missing or unreadable."""
    if isinstance(raw, msgspec.UnsetType):
        return None
    try:
        return read_value(kind, raw)
    except UnreadableValueError:
        return None


class _WithId(msgspec.Struct, frozen=True, gc=False):
    id: OptionalRaw = msgspec.UNSET


_WITHOUT_ID = _WithId()


def read_object_id(raw: OptionalRaw) -> str | None:
    """Return the `id` of a JSON object, None if it has no usable one or is not an object."""
    object_id: str | None = read_value_or_none("id", read_field(raw, _WithId, _WITHOUT_ID).id)
    return object_id


def _read_id(value: object) -> str:
    _check_length(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UnreadableValueError("is neither a string nor a whole number")


def _check_length(value: object) -> None:
    if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH:
        raise UnreadableValueError(f"is longer than {MAX_TEXT_LENGTH:,} characters")


def _read_string(value: object) -> str:
    _check_length(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UnreadableValueError("is not a string")


def _read_double(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
        if math.isfinite(number):
            return number
    raise UnreadableValueError("is not a number")


def _read_int64(value: object) -> int:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise UnreadableValueError("is not a whole number of 64 bits")
    return value


def _read_bool(value: object) -> bool:
    text = str(value).strip().lower()
    if isinstance(value, str | int) and text in _BOOLS:
        return _BOOLS[text]
    raise UnreadableValueError("is neither true nor false")


def _read_timestamp(value: object) -> datetime:
    instant = parse_timestamp(value) if isinstance(value, str) else None
    if instant is None:
        raise UnreadableValueError("is not an ISO 8601 date")
    return _check_instant(instant)


def _check_instant(instant: datetime) -> datetime:
    if is_sentinel(instant):
        raise SentinelDateError("means that there is no date")
    if not is_in_calendar(instant):
        raise UnreadableValueError("is out of range")
    return instant


_READERS: dict[Kind, Callable[[object], Any]] = {
    "id": _read_id,
    "string": _read_string,
    "double": _read_double,
    "int64": _read_int64,
    "bool": _read_bool,
    "timestamp": _read_timestamp,
}
