"""The `learner` strategy: every user is asked for, and its provider's answer holds the courses.

What belongs here: the requests of it. What an entry tells is `enrollments/details.py`. TalentLMS lists the courses of a
user with the completion status too, which a roster lacks, but there are more users than courses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lms_pipeline.enrollments.details import entries
from lms_pipeline.pull.asker import Asker
from lms_pipeline.pull.concurrently import in_order
from lms_pipeline.pull.strategies import Found, NoRosterError, StrategyName
from lms_pipeline.truto.page import SingleRecord
from lms_pipeline.truto.query import ObjectQuery


class Learner:
    """Asks for each user."""

    name: StrategyName = "learner"

    def __init__(self, asker: Asker, query: ObjectQuery, workers: int) -> None:
        self._asker = asker
        self._query = query
        self._workers = workers

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[Found]:  # noqa: ARG002
        """The pairs, user by user."""
        for user_id, record in in_order(self._ask, learners, self._workers):
            if record is None:
                yield Found(is_gone=True)
                continue
            found = entries(record.record, "courses", user_id)
            if found is None:
                raise NoRosterError(
                    f"The users of account {self._query.account_id} come without their courses: "
                    'set strategy = "roster" or "pairs" in LMS_ACCOUNTS_FILE.'
                )
            yield Found(found, record.received_at)

    def calls(self, learners: int, courses: int) -> int:  # noqa: ARG002
        """One for each user."""
        return learners

    def _ask(self, user_id: str) -> SingleRecord | None:
        return self._asker.detail("users", user_id, self._query)
