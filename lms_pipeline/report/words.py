"""The words of the report: what each rate counts and of what, the reasons for attention, and formats of numbers.

Belongs here: texts that several parts of the page share. Not here: definitions (`tables/measures.py`), sentences of one
section (`sections/`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple


class RateWords(NamedTuple):
    """A rate in words: `<numerator> of <denominator> <of> <predicate>`."""

    label: str
    of: str
    """What the denominator counts; a plural."""
    predicate: str
    """What holds for the numerator."""


RATE_WORDS = {
    "completion_rate": RateWords("Completed", "enrollments", "are completed"),
    "completion_rate_eligible": RateWords("Completed, of eligible", "eligible enrollments", "are completed"),
    "completion_rate_started": RateWords("Completed, of started", "enrollments that were started", "are completed"),
    "ever_completion_rate": RateWords("Ever completed", "eligible enrollments", "were completed at some time"),
    "learner_completion_rate": RateWords(
        "Completed, retakes once", "pairs of a learner and a course", "were completed at some time"
    ),
    "start_rate": RateWords("Started", "eligible enrollments", "were started"),
    "pass_rate": RateWords("Passed", "finished enrollments", "are completed or passed"),
    "withdrawal_rate": RateWords("Withdrawn", "enrollments", "are withdrawn"),
    "on_time_rate": RateWords("On time", "enrollments whose due day has come", "were completed on time"),
    "overdue_rate": RateWords("Overdue", "open enrollments with a due day", "are overdue"),
    "compliance_rate": RateWords("Mandatory completed", "mandatory enrollments", "are completed"),
    "learner_compliance_rate": RateWords(
        "Compliant learners", "learners with mandatory training", "have completed all of it"
    ),
}
"""Each rate of `measures.RATES` in words for people who do not know the tables."""

REASON_WORDS = {
    "overdue": ("Overdue", "the due day has passed, or the LMS says overdue"),
    "due_soon": ("Due soon", "due within 7 days, and less progress than time has passed, or not known"),
    "stuck": ("Stuck at the end", "100 percent of the progress, and not completed"),
    "idle": ("Idle", "started, and no sign of life for 14 days or more"),
    "never_started": ("Never started", "enrolled 14 days ago or earlier, and no sign of a start"),
}
"""The reasons of the table `attention`, strongest first: name and meaning."""

DUE_PARTS = {
    "n_on_time": "Completed on time",
    "n_late": "Completed late",
    "n_due_undated": "Completed, date unknown",
    "n_due_open": "Still open",
    "n_due_failed": "Failed",
    "n_due_withdrawn": "Withdrawn, not before the due day",
    "n_due_expired": "Expired, never completed",
    "n_due_unknown": "Status unknown",
}
"""The parts of the set `due`, which add up to it."""

MISSING = "\N{EN DASH}"
"""Stands for a figure that is not known or not shown."""


def format_percent(share: float | None, *, is_whole: bool = False) -> str:
    """Format a share as `62.3%`, or `62%` if it is rounded to whole percents.

    Never 100% for less than all, nor 0% for more than none: these are `>99.9%` and `<0.1%`, as whole percents `>99%` and `<1%`.
    """
    if share is None:
        return MISSING
    if is_whole:
        return ">99%" if 0.99 < share < 1 else "<1%" if 0 < share < 0.01 else f"{share:.0%}"
    text = f"{share:.1%}"
    if text == "100.0%":
        return "100%" if share >= 1 else ">99.9%"
    if text == "0.0%":
        return "0%" if share == 0 else "<0.1%"
    return text


def format_points(change: float) -> str:
    """Format a difference of rates in percentage points, with its sign, as `+1.2`."""
    points = round(change * 100, 1)
    sign = "+" if points > 0 else "\N{MINUS SIGN}" if points < 0 else "\N{PLUS-MINUS SIGN}"
    return f"{sign}{abs(points):.1f}"


def describe_change(change: float) -> str:
    """Describe a difference of rates in words, as `1.2 percentage points more than`."""
    points = round(change * 100, 1)
    if points == 0:
        return "the same as"
    return f"{abs(points):.1f} percentage points {'more' if points > 0 else 'less'} than"


def format_number(count: float | None) -> str:
    """Format a count with separators; `MISSING` for None."""
    return MISSING if count is None else f"{count:,}"


def format_day(day: date) -> str:
    """Format a day as `27 November 2026`, the same in every locale."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def format_month(day: date) -> str:
    """Format the month of a day as `Nov 2026`."""
    return f"{_MONTHS[day.month - 1][:3]} {day.year}"


def format_instant(instant: datetime) -> str:
    """Format an instant as `27 November 2026, 02:05` in its own time zone."""
    return f"{format_day(instant.date())}, {instant:%H:%M}"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
