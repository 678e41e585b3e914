"""Instants as whole seconds since 1970, in which lives are kept: compact, and quick to compare.

What belongs here: turning seconds into what is served and the calendar into seconds, and drawing a working hour.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lms_pipeline.sandbox.synthetic.kept import Kept

if TYPE_CHECKING:
    from random import Random
    from zoneinfo import ZoneInfo

NEVER = 0
"""Stands for an instant that doesn't come."""
HOUR = 3600
DAY = 24 * HOUR

_MINUTES = tuple(f"T{hour:02}:{minute:02}:" for hour in range(24) for minute in range(60))
_SECONDS = tuple(f"{second:02}Z" for second in range(60))


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()


_dates = Kept(_date)


def _told(seconds: int) -> str | None:
    if seconds == NEVER:
        return None
    minutes = seconds // 60
    return f"{_dates[seconds // DAY]}{_MINUTES[minutes % 1440]}{_SECONDS[seconds % 60]}"


instant_of = Kept(_told, most=10_000).__getitem__
"""The instant as it is served, `2026-01-02T03:04:05Z`; None for one that doesn't come.

Of the instants on a page two in three were told just before, by the same enrollment or another of the campaign.
"""


def seconds_of(instant: datetime) -> int:
    """The instant in whole seconds."""
    return int(instant.timestamp())


def start_of(year: int) -> int:
    """The first second of the year in UTC."""
    return seconds_of(datetime(year, 1, 1, tzinfo=UTC))


def midnight(seconds: int) -> int:
    """The beginning of the instant's day in UTC."""
    return seconds - seconds % DAY


def at_work(draw: Random, seconds: int, zone: ZoneInfo) -> int:
    """Some instant between 8 and 18 o'clock in `zone` on the day of `seconds`, or on the Monday after a weekend."""
    day = midnight(seconds)
    weekday = (day // DAY + 3) % 7  # 1970 began on a Thursday
    if weekday > 4:
        day += (7 - weekday) * DAY
    offset = datetime.fromtimestamp(day, zone).utcoffset()
    local = 0 if offset is None else int(offset.total_seconds())
    return day + 8 * HOUR - local + int(draw.random() * 10 * HOUR)
