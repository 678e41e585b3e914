"""The courses of one account and day as Markdown: the largest with a bar each, and the lowest and highest rate.

Belongs here: choosing rows of a `course_completion` file, and making titles from an LMS safe to show.
"""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from lms_pipeline.errors import format_count
from lms_pipeline.report.small_groups import COMPLETION_RATE, is_shown
from lms_pipeline.report.words import format_percent

RATE = "completion_rate_eligible"
"""The rate that is shown: completed of eligible enrollments."""
COLUMNS = ["course_id", "course_title", "n_all"]
"""Columns of `course_completion` before those of the rate, in the order of `Course`."""
MAX_LINES = 5
"""More make the event of each partition large, and Dagster keeps events for ever."""
MAX_TITLE_LENGTH = 40
"""Characters. Such lines stay below the 1,000 characters of Markdown that Dagster shows without a click."""
BAR_LENGTH = 10
"""Characters."""
MIN_ELIGIBLE = 10
"""Eligible enrollments of a course with the lowest or highest rate: a single learner is always 0% or 100%."""
UNSAFE_CHARACTERS = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\xad]"
    "|[\u061c\u115f\u1160\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0]"
)
"""Control characters, halves of surrogate pairs, marks of direction, and characters without a shape that join nothing."""
PUNCTUATION = re.compile(f"([{re.escape(string.punctuation)}])")


class Course(NamedTuple):
    """A course and its completion rate."""

    course_id: str
    title: str | None
    enrollments: int
    rate: float | None
    """Between 0 and 1; None if no enrollment is eligible."""
    completed: int
    eligible: int


class Courses:
    """The courses in a file of `course_completion`, the largest first.

    With a `limit` above 1, courses with fewer learners are left out, and the rate is the completion rate of all
    enrollments: it is the one that may be shown with its counts.
    """

    def __init__(self, path: Path, limit: int = 1) -> None:
        rate = RATE if limit == 1 else COMPLETION_RATE
        names = [*COLUMNS, rate, f"{rate}_num", f"{rate}_den"]
        with pq.ParquetFile(path) as file:
            read = file.read([*names, "learners"])
        columns = [read[name].to_pylist() for name in (*names, "learners")]
        courses = [Course(*row) for *row, learners in zip(*columns, strict=True) if is_shown(learners, limit)]
        self._of = "eligible" if limit == 1 else "all"
        self._left_out = read.num_rows - len(courses)
        self._by_size = sorted(courses, key=lambda course: (-course.enrollments, course.course_id))

    def format_largest(self) -> str:
        """Return a Markdown table of the largest courses; below it, how many are left out."""
        largest = self._by_size[:MAX_LINES]
        table = "\n".join([f"| completed | course | of {self._of} |\n|---|---|---|", *map(_format_row, largest)])
        smaller = len(self._by_size) - len(largest)
        note = f"and {format_count(smaller, 'smaller course')}" if smaller else "" if largest else "There is no course."
        if self._left_out:
            note += f"{'; ' if note else ''}{format_count(self._left_out, 'course')} with too few learners left out"
        return f"{table}\n\n{note}" if note else table

    def find_extremes(self) -> dict[str, Course]:
        """Return the courses with the `lowest` and the `highest` rate; none if all have fewer than `MIN_ELIGIBLE`."""
        large = [course for course in self._by_size if course.eligible >= MIN_ELIGIBLE]
        rated = sorted(large, key=lambda course: course.rate or 0)
        return {"lowest": rated[0], "highest": rated[-1]} if rated else {}


def _format_row(course: Course) -> str:
    title = shorten(course.title or "", MAX_TITLE_LENGTH) or shorten(course.course_id, MAX_TITLE_LENGTH)
    percent = "-" if course.rate is None else format_percent(course.rate, is_whole=True)
    bar = format_bar(course.rate, BAR_LENGTH)
    return f"| {bar} {percent} | {escape_markdown(title)} | {course.completed:,} of {course.eligible:,} |"


def shorten(text: str, max_length: int) -> str:
    """Return the text on one line, without control characters, cut to `max_length` characters."""
    line = " ".join(UNSAFE_CHARACTERS.sub(" ", text).split())
    return line if len(line) <= max_length else f"{line[: max_length - 1].rstrip()}…"


def escape_markdown(text: str) -> str:
    """Escape the text so that Markdown shows it literally: no link, no image, no table cell."""
    return PUNCTUATION.sub(r"\\\1", text)


def format_bar(share: float | None, length: int) -> str:
    """Return a bar of block characters, filled by a share between 0 and 1; empty for None."""
    filled = round((share or 0) * length)
    return "█" * filled + "░" * (length - filled)
