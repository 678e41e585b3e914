"""How one value is read when it isn't what the page says: numbers as strings, ids as numbers, naive dates.

What belongs here: leaves. A value that fits is read just as the fast way reads it; one that can be understood
without guessing is understood; all else is `Unreadable`, never a default. "" means that there is no value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from lms_pipeline.transform.shapes import Kind

NOT_READ = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises where the JSON is not what was asked for, or is nested deeper than Python's stack."""

Id = Annotated[str, msgspec.Meta(pattern=r"\S")]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

STRICT_TYPES: dict[Kind, Any] = {
    "id": Id,
    "string": str,
    "double": float,
    "int64": Int64,
    "bool": bool,
    "timestamp": datetime,
    "json": msgspec.Raw,
}
"""What a field of a kind must be to be read the fast way, null aside."""

_NUMBER = re.compile(r"[+-]?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,3})?", re.ASCII)
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class Unreadable(Exception):  # noqa: N818 (it is told as a count, not raised to a person)
    """The value can't be read as its kind; the argument says why, without the value."""


def read(kind: Kind, raw: msgspec.Raw) -> Any:  # noqa: ANN401 (whatever the kind holds)
    """The value of a leaf, None where there is none.

    Raises:
        Unreadable: the value is neither what is documented nor understood without guessing.
    """
    try:
        strict = msgspec.json.decode(raw, type=STRICT_TYPES[kind])
    except NOT_READ:
        pass
    else:
        return _in_calendar(strict) if kind == "timestamp" else strict
    try:
        value = msgspec.json.decode(raw)
    except NOT_READ:
        raise Unreadable("is out of range") from None
    if value is None or (kind != "string" and isinstance(value, str) and not value.strip()):
        return None
    return _READERS[kind](value)


def is_in_calendar(instant: datetime | None) -> bool:
    """Whether an instant is in the years 1 to 9999 also in UTC: Arrow holds any other, but Python can't read it."""
    if instant is None or instant.tzinfo is None or 1 < instant.year < 9999:
        return True
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _in_calendar(instant: datetime) -> datetime:
    if not is_in_calendar(instant):
        raise Unreadable("is out of range")
    return instant


def _id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Unreadable("is neither a string nor a whole number")


def _string(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise Unreadable("is not a string")


def _double(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
        if math.isfinite(number):
            return number
    raise Unreadable("is not a number")


def _int64(value: object) -> int:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise Unreadable("is not a whole number of 64 bits")
    return value


def _bool(value: object) -> bool:
    text = str(value).strip().lower()
    if isinstance(value, str | int) and text in _BOOLS:
        return _BOOLS[text]
    raise Unreadable("is neither true nor false")


def _timestamp(value: object) -> datetime:
    if not isinstance(value, str) or "-" not in value:
        raise Unreadable("is not an ISO 8601 date")
    try:
        return _in_calendar(msgspec.convert(value.strip(), datetime))
    except msgspec.ValidationError:
        pass
    try:
        return _in_calendar(datetime.fromisoformat(value.strip()))
    except ValueError:
        raise Unreadable("is not an ISO 8601 date") from None


_READERS: dict[Kind, Callable[[object], Any]] = {
    "id": _id,
    "string": _string,
    "double": _double,
    "int64": _int64,
    "bool": _bool,
    "timestamp": _timestamp,
}
