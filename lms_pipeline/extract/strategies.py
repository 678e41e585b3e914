"""What `roster` and `learner` have in common: each record of a list is asked for, and the answer lists enrollments.

What belongs here: those requests. Which list it is, and what an account without it can do, is `roster.py`'s and
`learner.py`'s; what an entry tells is `enrollments/details.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.transform.rosters import RosterEntry, RosterKey, read_roster_response
from lms_pipeline.truto.query import ObjectQuery, Resource
from lms_pipeline.truto.response import SingleRecord

StrategyName = Literal["sweep", "roster", "learner", "pairs"]


class ListNotOfferedError(LmsPipelineError):
    """The LMS doesn't give a list that is needed."""


class NoRosterError(LmsPipelineError):
    """The details of an account don't list its enrollments."""


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs that exist, or may, as one answer tells them."""

    entries: list[RosterEntry] = field(default_factory=list)
    fetched_at: datetime | None = None
    """None where no answer told of them."""
    is_gone: bool = False
    """The course or user was listed, and wasn't there any more when it was asked for."""
    unusable: int = 0
    """Entries of the answer without an id that could be asked for."""


class PairStrategy(Protocol):
    """Finds the pairs of an account."""

    name: StrategyName
    needs: frozenset[Resource]
    """The lists without which it finds nothing."""

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[PairBatch]:
        """The pairs, answer by answer, from the ids of the account's lists.

        Raises:
            NoRosterError: the details don't tell.
            TrutoError: no answer.
        """
        ...


class ByDetails:
    """Asks for each record of one list."""

    name: StrategyName
    resource: ClassVar[Resource]
    side: ClassVar[RosterKey]
    without: ClassVar[str]
    """What an account without it is told."""

    def __init__(self, session: FetchSession, query: ObjectQuery, workers: int) -> None:
        self._session = session
        self._query = query
        self._workers = workers
        self.needs: frozenset[Resource] = frozenset({self.resource})

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[PairBatch]:
        """The pairs, answer by answer. Where others list theirs, one that doesn't is as good as gone."""
        some_listed = False
        without = 0
        with closing(
            map_in_order(self._ask, learners if self.resource == "users" else courses, self._workers)
        ) as answers:
            for record_id, record in answers:
                listed = (
                    read_roster_response(record.record, self.side, record_id) if record is not None else None
                )
                if record is None:
                    yield PairBatch(is_gone=True)
                elif listed is not None:
                    some_listed = True
                    yield PairBatch(listed.entries, record.received_at, unusable=listed.unusable)
                elif some_listed:
                    yield PairBatch(is_gone=True)
                else:
                    without += 1
                    if without == MAX_PROBES:
                        break
        if without and not some_listed:
            raise NoRosterError(self.without.format(account=self._query.account_id))
        for _ in range(without):
            yield PairBatch(is_gone=True)

    def _ask(self, record_id: str) -> SingleRecord | None:
        return self._session.fetch_roster(self.resource, record_id, self._query)


MAX_PROBES = 5
"""Records that are asked for before it is believed that none lists its enrollments."""


class Learner(ByDetails):
    """Asks for each user: one call for each."""

    name: StrategyName = "learner"
    resource: ClassVar[Resource] = "users"
    side: ClassVar[RosterKey] = "courses"
    without: ClassVar[str] = (
        "The users of account {account} come without their courses: "
        'set strategy = "roster" or "pairs" in LMS_ACCOUNTS_FILE.'
    )


class Roster(ByDetails):
    """Asks for each course: one call for each."""

    name: StrategyName = "roster"
    resource: ClassVar[Resource] = "courses"
    side: ClassVar[RosterKey] = "users"
    without: ClassVar[str] = (
        "The courses of account {account} come without their rosters: "
        'set strategy = "learner" or "pairs" in LMS_ACCOUNTS_FILE.'
    )


_AT_ONCE = 1_000
COLUMNS = ("user_id", "course_id")


class Pairs:
    """Asks for no details."""

    name: StrategyName = "pairs"

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.needs: frozenset[Resource] = frozenset() if file else frozenset({"users", "courses"})

    def find(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[PairBatch]:
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
        while some := [
            RosterEntry(user_id, course_id, b"") for user_id, course_id in islice(pairs, _AT_ONCE)
        ]:
            yield PairBatch(some)


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
