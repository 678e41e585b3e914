"""What of an account's courses is shown: the largest ones with their rates, and the ends of the scale.

What belongs here: choosing from a file of `course_completion`. Drawing is `chart.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from lms_pipeline.report.charts import Bar, bars_svg, in_markdown, one_line, text_bar

RATE = "completion_rate_eligible"
"""The fair figure."""
MAX_BARS, MAX_LINES = 15, 10
MAX_TITLE_LENGTH = 40
"""Characters on a line of text: ten such lines are less than the 1,000 characters that Dagster shows without a click."""
MIN_ELIGIBLE = 10
"""Enrollments of a course that is called the best or the worst: one learner alone is always 0% or 100%."""


class Course(NamedTuple):
    """A course with its rate."""

    course_id: str
    title: str | None
    enrollments: int
    rate: float | None
    completed: int
    eligible: int

    @property
    def label(self) -> str:
        """What people call it."""
        return self.title or self.course_id


COLUMNS = ["course_id", "course_title", "n_all", RATE, f"{RATE}_num", f"{RATE}_den"]
"""Of `course_completion`, in the order of `Course`."""


class Courses:
    """The courses of one account and day."""

    def __init__(self, path: Path) -> None:
        with pq.ParquetFile(path) as file:
            columns = [column.to_pylist() for column in file.read(COLUMNS).select(COLUMNS).columns]
        courses = [Course(*row) for row in zip(*columns, strict=True)]
        self._by_size = sorted(courses, key=lambda course: (-course.enrollments, course.course_id))

    def chart(self, title: str) -> str:
        """The largest as bars of an SVG picture."""
        largest = self._by_size[:MAX_BARS]
        more = len(self._by_size) - len(largest)
        footnote = f"and {more:,} smaller courses" if more else "" if largest else "There is no course."
        bars = [Bar(one.label, one.rate, f"{one.completed:,} of {one.eligible:,}") for one in largest]
        return bars_svg(title, "completed of eligible enrollments, largest courses first", bars, footnote)

    def lines(self) -> str:
        """The largest in Markdown, with bars that are text."""
        head = "| completed | course | of eligible |\n|---|---|---|"
        return "\n".join([head, *map(_line, self._by_size[:MAX_LINES])])

    def extremes(self) -> tuple[Course, Course] | None:
        """The ones with the lowest and the highest rate; None where none is large enough to say."""
        rated = sorted(
            (one for one in self._by_size if one.eligible >= MIN_ELIGIBLE), key=lambda one: one.rate or 0
        )
        return (rated[0], rated[-1]) if rated else None


def _line(course: Course) -> str:
    title = in_markdown(one_line(course.label, MAX_TITLE_LENGTH))
    percent = "-" if course.rate is None else f"{course.rate:.0%}"
    return f"| {text_bar(course.rate)} {percent} | {title} | {course.completed:,} of {course.eligible:,} |"
