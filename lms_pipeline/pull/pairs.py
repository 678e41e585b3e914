"""The `pairs` strategy: every learner in every course is asked for, or the pairs of a CSV.

What belongs here: making the pairs. It is for accounts whose details tell of no enrollment: what doesn't exist is
asked for too, every day, and nothing can be carried over.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lms_pipeline.errors import SettingsError
from lms_pipeline.pull.strategies import Found, StrategyName
from lms_pipeline.transform.rosters import Entry
from lms_pipeline.truto.query import Resource

_AT_ONCE = 1_000
COLUMNS = ("user_id", "course_id")


class Pairs:
    """Asks for no details."""

    name: StrategyName = "pairs"

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.needs: frozenset[Resource] = frozenset() if file else frozenset({"users", "courses"})

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[Found]:
        """The pairs of the file, else every learner in every course.

        Raises:
            SettingsError: the file can't be read.
        """
        all_courses = list(courses)
        pairs = (
            read_pairs(self._file)
            if self._file is not None
            else ((learner, course) for course in all_courses for learner in learners)
        )
        while some := [Entry(user_id, course_id, b"") for user_id, course_id in islice(pairs, _AT_ONCE)]:
            yield Found(some)


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """The pairs of a CSV with the columns `user_id` and `course_id`, and whatever others.

    Raises:
        SettingsError: it can't be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise SettingsError(
                    f"The pairs_file {path} has no column {missing[0]}: it needs {' and '.join(COLUMNS)}."
                )
            for row in rows:
                user_id, course_id = (row[name] or "" for name in COLUMNS)
                if not user_id.strip() or not course_id.strip():
                    raise SettingsError(
                        f"The pairs_file {path}, line {rows.line_num}, lacks a user_id or course_id."
                    )
                yield user_id, course_id
    except OSError as error:
        raise SettingsError(f"The pairs_file {path} can't be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"The pairs_file {path} can't be read as a CSV in UTF-8: {error}.") from None
