"""The courses of all accounts, of which the largest are kept: an account at a time, so that a fleet fits into memory.

Belongs here: what is known of all courses, and which of them stay. Not here: which may be shown (`small_groups.py`).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lms_pipeline.report.small_groups import COMPLETION_RATE, Figures, ShownAccount, ShownCourse

MAX_COURSES = 300
"""Courses that are kept, and as many with mandatory training."""
MANDATORY_RATE = "compliance_rate"


class KeptCourse(NamedTuple):
    """A course and its account."""

    account_id: str
    course: ShownCourse


class RateRange(NamedTuple):
    """The completion rates of courses or accounts."""

    lowest: float
    highest: float
    halves: int
    """How many have a rate of 50% or more."""
    rated: int
    """How many have a rate."""


@dataclass(frozen=True)
class Courses:
    """The shown courses of a report."""

    count: int
    largest: Sequence[KeptCourse]
    """`MAX_COURSES` at most, the largest first."""
    mandatory_count: int
    """Courses with a rate of mandatory training."""
    mandatory: Sequence[KeptCourse]
    """`MAX_COURSES` of them at most, the largest first."""
    rates: RateRange | None
    """None if no course has a completion rate."""


class Largest:
    """The largest of the courses that are added, and their number. Of equal ones the first stays."""

    def __init__(self, max_courses: int) -> None:
        self._max = max_courses
        self._heap: list[tuple[int, int, KeptCourse]] = []
        self.count = 0

    def add(self, course: KeptCourse) -> None:
        """Keep a course if it is one of the largest."""
        self.count += 1
        entry = course.course.figures.enrollments, -self.count, course  # the number is never the same
        if len(self._heap) < self._max:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def list_courses(self) -> list[KeptCourse]:
        """Return the kept courses, the largest first."""
        return [course for *_, course in sorted(self._heap, reverse=True)]


class CourseCollector:
    """Collects the courses of accounts, one account at a time."""

    def __init__(self, max_courses: int = MAX_COURSES) -> None:
        self._largest, self._mandatory = Largest(max_courses), Largest(max_courses)
        self._rates: RateRange | None = None

    def add(self, account: ShownAccount) -> None:
        """Add the courses of an account."""
        for course in account.courses:
            kept = KeptCourse(account.account_id, course)
            self._largest.add(kept)
            if MANDATORY_RATE in course.figures.rates:
                self._mandatory.add(kept)
            self._rates = extend_range(self._rates, course.figures)

    def build(self) -> Courses:
        """Return what was collected."""
        return Courses(
            self._largest.count,
            self._largest.list_courses(),
            self._mandatory.count,
            self._mandatory.list_courses(),
            self._rates,
        )


def extend_range(found: RateRange | None, figures: Figures) -> RateRange | None:
    """Return the range with one more completion rate; unchanged if the figures have none."""
    if COMPLETION_RATE not in figures.rates:
        return found
    value = figures.rates[COMPLETION_RATE].value
    half = int(value >= 0.5)
    if found is None:
        return RateRange(value, value, half, 1)
    return RateRange(min(found.lowest, value), max(found.highest, value), found.halves + half, found.rated + 1)
