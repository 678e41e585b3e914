"""The seasons of a year: when people take up a course of their own accord, and when they join.

What belongs here: which days are busy. What happens on them is `years.py`.
"""

from __future__ import annotations

from bisect import bisect
from calendar import monthrange
from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from lms_pipeline.sandbox.synthetic.instants import DAY, at_work, start_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random
    from zoneinfo import ZoneInfo

_HOLIDAYS_FROM = 18
"""The day of December from which on hardly anybody begins anything."""
_HOLIDAYS = 0.3


class Months(NamedTuple):
    """What a working day weighs, by its month."""

    january: float
    february: float
    march: float
    april: float
    may: float
    june: float
    july: float
    august: float
    september: float
    october: float
    november: float
    december: float


_TAKING_UP = Months(
    january=1.7,  # resolutions, and the new year's budget
    february=1.1,
    march=1.0,
    april=0.9,
    may=0.9,
    june=0.8,
    july=0.45,  # the summer's holidays
    august=0.4,
    september=1.5,  # back from them
    october=1.5,
    november=1.1,
    december=0.8,
)
_JOINING = Months(
    january=2.0,  # who leaves waits for the yearly bonus
    february=1.0,
    march=1.0,
    april=1.1,
    may=0.8,
    june=0.8,
    july=0.7,
    august=0.6,
    september=1.8,  # graduates, and everybody else after the summer
    october=1.0,
    november=0.8,
    december=0.3,
)
_FIRST_DAYS, _AT_ONCE = 3, 20
"""A contract begins with the month: each of its first three working days weighs as much as twenty others."""


class Season:
    """The working days of a year, some of which are drawn more often than others."""

    def __init__(self, year: int, months: Months, first_days: float = 1) -> None:
        self._first, self._last = start_of(year), start_of(year + 1) - 1
        self._until = list(accumulate(_weights(year, months, first_days)))

    def draw(self, draw: Random, zone: ZoneInfo) -> int:
        """An instant at work in `zone`, within the year as UTC has it."""
        day = self._first + DAY * bisect(self._until, draw.random() * self._until[-1])
        return min(max(at_work(draw, day, zone), self._first), self._last)


def taking_up(year: int) -> Season:
    """The days on which people take up a course because they want to."""
    return Season(year, _TAKING_UP)


def joining(year: int) -> Season:
    """The days on which people join."""
    return Season(year, _JOINING, first_days=_AT_ONCE)


def _weights(year: int, months: Months, first_days: float) -> Iterator[float]:
    """What each day of the year weighs; nothing on a weekend."""
    for month, weight in enumerate(months, start=1):
        worked = 0
        for day in range(1, monthrange(year, month)[1] + 1):
            if date(year, month, day).weekday() > 4:
                yield 0
                continue
            worked += 1
            is_holiday = (month, day) >= (12, _HOLIDAYS_FROM)
            yield weight * (first_days if worked <= _FIRST_DAYS else 1) * (_HOLIDAYS if is_holiday else 1)
