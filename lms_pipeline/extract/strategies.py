"""What `roster` and `learner` have in common: each record of a list is asked for, and the answer lists enrollments.

What belongs here: those requests. Which list it is, and what an account without it can do, is `roster.py`'s and
`learner.py`'s; what an entry tells is `enrollments/details.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import ClassVar

from lms_pipeline.concurrency import in_order
from lms_pipeline.extract.session import Asker
from lms_pipeline.pull.strategies import Found, NoRosterError, StrategyName
from lms_pipeline.transform.rosters import Side, entries
from lms_pipeline.truto.query import ObjectQuery, Resource
from lms_pipeline.truto.response import SingleRecord


class ByDetails:
    """Asks for each record of one list."""

    name: StrategyName
    resource: ClassVar[Resource]
    side: ClassVar[Side]
    without: ClassVar[str]
    """What an account without it is told."""

    def __init__(self, asker: Asker, query: ObjectQuery, workers: int) -> None:
        self._asker = asker
        self._query = query
        self._workers = workers
        self.needs: frozenset[Resource] = frozenset({self.resource})

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[Found]:
        """The pairs, answer by answer. Where others list theirs, one that doesn't is as good as gone."""
        some_listed = False
        without = 0
        with closing(
            in_order(self._ask, learners if self.resource == "users" else courses, self._workers)
        ) as answers:
            for record_id, record in answers:
                listed = entries(record.record, self.side, record_id) if record is not None else None
                if record is None:
                    yield Found(is_gone=True)
                elif listed is not None:
                    some_listed = True
                    yield Found(listed.entries, record.received_at, unusable=listed.unusable)
                elif some_listed:
                    yield Found(is_gone=True)
                else:
                    without += 1
                    if without == TRIED:
                        break
        if without and not some_listed:
            raise NoRosterError(self.without.format(account=self._query.account_id))
        for _ in range(without):
            yield Found(is_gone=True)

    def _ask(self, record_id: str) -> SingleRecord | None:
        return self._asker.detail(self.resource, record_id, self._query)


TRIED = 5
"""Records that are asked for before it is believed that none lists its enrollments."""
