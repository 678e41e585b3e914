"""The figures of several days, and the change of a rate between two of them. Pure.

Belongs here: which earlier day a figure is compared with. It follows `completion_trend`, on the figures that are shown:
the view knows no small groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from lms_pipeline.report.small_groups import Figures, ShownPortfolio
from lms_pipeline.tables.over_time import CHANGE_DAYS

TOLERANCE_DAYS = 3
"""Days before the day to compare with, whose snapshot serves if that day has none."""


@dataclass(frozen=True)
class TrendPoint:
    """What is shown of one day."""

    day: date
    figures: Figures
    accounts: frozenset[str]
    """The accounts in it: a day with others can't be compared."""
    reconstructed: frozenset[str] = frozenset()
    """Those of the accounts whose enrollments were derived from a later snapshot."""
    courses: frozenset[tuple[str, str]] = frozenset()
    """The account and id of each course in it, if others are withheld: a day with others can't be compared."""


def build_point(day: date, portfolio: ShownPortfolio, limit: int) -> TrendPoint | None:
    """Return the point of a day; None if no account is shown."""
    if portfolio.figures is None:
        return None
    courses = {(one.account_id, course_id) for one in portfolio.accounts for course_id in one.course_ids if limit > 1}
    return TrendPoint(day, portfolio.figures, portfolio.account_ids, portfolio.reconstructed, frozenset(courses))


class Change(NamedTuple):
    """The difference of a rate against an earlier day."""

    points: float
    """Between -1 and 1."""
    compared: date


def find_compared(points: Sequence[TrendPoint], current: TrendPoint, days: int) -> TrendPoint | None:
    """Return the point so many days before `current`, else the latest of the `TOLERANCE_DAYS` before; None if there is none.

    None too if their accounts differ, those of them that are reconstructed, or with a limit the courses that are shown.
    """
    by_day = {point.day: point for point in points}
    day = _choose_compared(list(by_day), current.day, days)
    if day is None:
        return None
    latest = by_day[day]
    is_same = latest.reconstructed == current.reconstructed and latest.courses == current.courses
    return latest if is_same and latest.accounts == current.accounts else None


def find_change(points: Sequence[TrendPoint], rate: str, days: int) -> Change | None:
    """Return how a rate changed up to the last point; None if it can't be compared."""
    current = points[-1]
    compared = find_compared(points, current, days)
    if compared is None or rate not in current.figures.rates or rate not in compared.figures.rates:
        return None
    difference = current.figures.rates[rate].value - compared.figures.rates[rate].value
    return Change(difference, compared.day)


def choose_days(days: Sequence[date], last: date, max_days: int) -> list[date]:
    """Return at most `max_days` of the days up to `last`: first those that changes are compared with.

    If there are more, those that are a multiple of 7 days before `last` come next, then the latest.
    """
    past = sorted(day for day in days if day <= last)
    if len(past) <= max_days:
        return past
    compared = (_choose_compared(past, last, span) for span in CHANGE_DAYS)
    first = [last, *(day for day in compared if day is not None)]
    weekly = [day for day in reversed(past) if (last - day).days % 7 == 0]
    chosen = list(dict.fromkeys([*first, *weekly, *reversed(past)]))
    return sorted(chosen[:max_days])


def _choose_compared(days: Sequence[date], last: date, span: int) -> date | None:
    """Return the day so many days before `last`, else the latest of the `TOLERANCE_DAYS` before; None if there is none."""
    target = last - timedelta(days=span)
    return max((day for day in days if target - timedelta(days=TOLERANCE_DAYS) <= day <= target), default=None)
