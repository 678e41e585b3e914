"""Read a date or time in ISO 8601, with what reads like one: `xs:date`, zones in words, a zone id in brackets.

Belongs here: the forms of a date in a text, and which instants are none. Not here: other values (`coerce.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import chain, compress

import pyarrow as pa
import pyarrow.compute as pc

SENTINELS_END = datetime(1980, 1, 1, tzinfo=UTC)
"""A timestamp before it means "no date": LMSs write 0001-01-01, 1753, 1899-12-30, 1900 and 1970."""
_STORABLE_MICROSECONDS = (
    int(SENTINELS_END.timestamp()) * 10**6,
    int(datetime.max.replace(tzinfo=UTC).timestamp() + 1) * 10**6 - 1,
)
"""The first and the last instant that is stored, since 1970."""
_ROUNDED_UP = re.compile(rb"\.999999[5-9]")

_DATE_TIME = re.compile(
    r"""
    (?P<date> \d{4}-\d\d-\d\d | \d{4}-W\d\d-\d | \d{8}(?=[Tt]) )
    (?: [Tt ] (?P<hour>[01]\d|2[0-3])
        (?: :?(?P<minute>[0-5]\d) (?: :?(?P<second>[0-5]\d) (?:[.,](?P<fraction>\d+))? )? )? )?
    (?: [ ]? (?P<zone> [Zz] | UTC | GMT | (?P<sign>[+-]) (?P<hours>[01]\d|2[0-3])
        (?: :?(?P<minutes>[0-5]\d) (?: :?(?P<seconds>[0-5]\d) )? )? )
        (?: [ ]? \[!?[A-Za-z][\w+/-]*\] )? )?
    """,
    re.ASCII | re.VERBOSE,
)


def parse_timestamp(text: str) -> datetime | None:
    """Return the instant, without an offset if the text has none; None if the text does not say which instant it is.

    A zone id in brackets needs an offset beside it, which decides: without one, an hour of autumn is two instants.
    Fractions beyond microseconds are cut off: rounding would move the last instant of a day to the next day.
    """
    match = _DATE_TIME.fullmatch(text.strip())
    if match is None or (match["hour"] is None and match["sign"] == "-" and ":" not in match["zone"]):
        return None  # the latter is `2026-11-20-05`, where 05 is an hour or an offset
    fields = match.groupdict(default="0")
    try:
        day = date.fromisoformat(match["date"])
    except ValueError:
        return None
    microsecond = int(fields["fraction"][:6].ljust(6, "0"))
    moment = time(int(fields["hour"]), int(fields["minute"]), int(fields["second"]), microsecond)
    return datetime.combine(day, moment, _read_zone(fields) if match["zone"] else None)


def _read_zone(fields: dict[str, str]) -> timezone:
    offset = timedelta(hours=int(fields["hours"]), minutes=int(fields["minutes"]), seconds=int(fields["seconds"]))
    return timezone(-offset if fields["sign"] == "-" else offset)


def is_sentinel(instant: datetime) -> bool:
    """Return whether a timestamp means "no date". Without an offset it is UTC."""
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)) < SENTINELS_END


def is_in_calendar(instant: datetime) -> bool:
    """Return whether an instant is in the years 1 to 9999 in UTC. Arrow can hold others, but Python can't read them."""
    if instant.tzinfo is None or 1 < instant.year < 9999:
        return True
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return False
    return True


def has_last_instant(json: bytes) -> bool:
    """Return whether a fraction in the JSON is one that msgspec rounds up to the next second.

    That can be the next day: .NET writes the last instant of a day as 23:59:59.9999999.
    """
    return b".999999" in json and _ROUNDED_UP.search(json) is not None


def is_storable(instant: datetime | None) -> bool:
    """Return whether a value of a timestamp column is stored: null is, a sentinel and what is out of range are not."""
    if instant is None or 1980 < instant.year < 9999:  # most are, and this is the fastest way to see it
        return True
    return not is_sentinel(instant) and is_in_calendar(instant)


def cast_timestamps(columns: Sequence[Sequence[str | None]]) -> list[pa.Array] | None:
    """Return columns of texts as columns of timestamps; None if Arrow refuses a text, or an instant is not stored.

    Arrow reads fewer forms of a date than `parse_timestamp`, and reads them alike: date and time with `Z` or an offset.
    All columns are cast together: each call of Arrow takes 5 µs, which is as much as casting 200 texts.
    """
    type_ = pa.timestamp("us", "UTC")
    is_filled = [column.count(None) < len(column) for column in columns]
    filled = list(compress(columns, is_filled))
    try:
        instants = pa.array(list(chain.from_iterable(filled)), pa.string()).cast(type_)
    except pa.ArrowInvalid:
        return None
    bounds = pc.min_max(instants.view(pa.int64())).as_py()  # Arrow has a year 0, and Python has not
    if filled and not (_STORABLE_MICROSECONDS[0] <= bounds["min"] <= bounds["max"] <= _STORABLE_MICROSECONDS[1]):
        return None
    rows = max(map(len, columns), default=1) or 1
    parts = (instants.slice(start, rows) for start in range(0, len(instants), rows))
    return [
        next(parts) if has_text else pa.nulls(len(column), type_)
        for column, has_text in zip(columns, is_filled, strict=True)
    ]
