"""The `roster` strategy: every course is asked for, and its provider's answer holds its roster.

What belongs here: the requests of a roster. What an entry tells is `enrollments/details.py`. TalentLMS lists the users
of a course with role, dates, percentage and time, but not the completion status: from in_progress to failed nothing
changes in a roster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lms_pipeline.enrollments.details import entries
from lms_pipeline.pull.asker import Asker
from lms_pipeline.pull.concurrently import in_order
from lms_pipeline.pull.strategies import Found, NoRosterError, StrategyName
from lms_pipeline.truto.page import SingleRecord
from lms_pipeline.truto.query import ObjectQuery


class Roster:
    """Asks for each course."""

    name: StrategyName = "roster"

    def __init__(self, asker: Asker, query: ObjectQuery, workers: int) -> None:
        self._asker = asker
        self._query = query
        self._workers = workers

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[Found]:  # noqa: ARG002
        """The pairs, course by course."""
        for course_id, record in in_order(self._ask, courses, self._workers):
            if record is None:
                yield Found(is_gone=True)
                continue
            found = entries(record.record, "users", course_id)
            if found is None:
                raise NoRosterError(
                    f"The courses of account {self._query.account_id} come without their rosters: "
                    'set strategy = "learner" or "pairs" in LMS_ACCOUNTS_FILE.'
                )
            yield Found(found, record.received_at)

    def calls(self, learners: int, courses: int) -> int:  # noqa: ARG002
        """One for each course."""
        return courses

    def _ask(self, course_id: str) -> SingleRecord | None:
        return self._asker.detail("courses", course_id, self._query)
