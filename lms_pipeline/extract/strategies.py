"""The strategies that find the pairs of an account: `roster`, `learner` and `pairs`.

Belongs here: the requests that each of them sends. A sweep needs no pairs and is in `session.py`; which strategy fits an
account is `strategy_selection.py`; the content of a roster entry is `transform/rosters.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.transform.rosters import RosterEntry, RosterKey, read_roster_response
from lms_pipeline.truto.query import ObjectQuery, Resource
from lms_pipeline.truto.response import SingleRecord

StrategyName = Literal["sweep", "roster", "learner", "pairs"]

MAX_PROBES = 5
"""Records that are fetched before the account counts as one without rosters."""
BATCH_SIZE = 1_000
"""Pairs in one batch where no response lists them."""
PAIR_COLUMNS = ("user_id", "course_id")


class ListNotOfferedError(LmsPipelineError):
    """The LMS does not offer a list that the strategy needs."""


class NoRosterError(LmsPipelineError):
    """The records of an account do not list its enrollments."""


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs that exist, or may exist, as one response lists them."""

    entries: list[RosterEntry] = field(default_factory=list)
    fetched_at: datetime | None = None
    """None where no response lists the pairs."""
    is_gone: bool = False
    """Whether the course or user is in its list and no longer exists."""
    unusable: int = 0
    """Roster entries without a usable id."""


class PairStrategy(Protocol):
    """Finds the pairs of an account."""

    @property
    def name(self) -> StrategyName:
        """The name of the strategy."""
        ...

    @property
    def needs(self) -> frozenset[Resource]:
        """The lists without which it finds nothing."""
        ...

    def find_pairs(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[PairBatch]:
        """Yield the pairs, response by response, from the ids in the account's lists.

        Raises:
            NoRosterError: the records do not list enrollments.
            TrutoError: a request failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class RosterSource:
    """The list whose records hold rosters, one call for each record."""

    name: StrategyName
    resource: Resource
    roster_key: RosterKey
    """The side of the pair that a roster lists."""
    missing: str
    """The error for an account whose records hold no rosters."""


ROSTER = RosterSource(
    "roster",
    "courses",
    "users",
    "The courses of account {account} come without their rosters: "
    'set strategy = "learner" or "pairs" in LMS_ACCOUNTS_FILE.',
)
"""TalentLMS lists the users of a course with role, dates, percentage and time, but without the completion status: from
`in_progress` to `failed` nothing changes in a roster."""
LEARNER = RosterSource(
    "learner",
    "users",
    "courses",
    "The users of account {account} come without their courses: "
    'set strategy = "roster" or "pairs" in LMS_ACCOUNTS_FILE.',
)
"""The courses of a user, with the completion status."""


class RosterStrategy:
    """Fetches each record of one list, whose response lists enrollments."""

    def __init__(self, source: RosterSource, session: FetchSession, query: ObjectQuery, workers: int) -> None:
        self._source = source
        self._session = session
        self._query = query
        self._workers = workers
        self.name = source.name
        self.needs: frozenset[Resource] = frozenset({source.resource})

    def find_pairs(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[PairBatch]:
        """Yield the pairs of each roster. Once one record holds a roster, a record without one counts as gone."""
        ids = learners if self._source.resource == "users" else courses
        has_roster = False
        without = 0
        with closing(map_in_order(self._fetch, ids, self._workers)) as responses:
            for record_id, record in responses:
                listed = (
                    read_roster_response(record.record, self._source.roster_key, record_id)
                    if record is not None
                    else None
                )
                if record is None:
                    yield PairBatch(is_gone=True)
                elif listed is not None:
                    has_roster = True
                    yield PairBatch(listed.entries, record.received_at, unusable=listed.unusable)
                elif has_roster:
                    yield PairBatch(is_gone=True)
                else:
                    without += 1
                    if without == MAX_PROBES:
                        break
        if without and not has_roster:
            raise NoRosterError(self._source.missing.format(account=self._query.account_id))
        for _ in range(without):
            yield PairBatch(is_gone=True)

    def _fetch(self, record_id: str) -> SingleRecord | None:
        return self._session.fetch_roster(self._source.resource, record_id, self._query)


class ExplicitPairs:
    """The pairs of a file, else every learner in every course; no request."""

    name: StrategyName = "pairs"

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.needs: frozenset[Resource] = frozenset() if file else frozenset({"users", "courses"})

    def find_pairs(self, learners: Iterable[str], courses: Iterable[str]) -> Iterator[PairBatch]:
        """Yield the pairs of the file, else every learner in every course.

        Raises:
            SettingsError: the file is unusable.
        """
        all_courses = list(courses)
        pairs = (
            read_pairs(self._file)
            if self._file is not None
            else ((learner, course) for course in all_courses for learner in learners)
        )
        while batch := [RosterEntry(user_id, course_id, b"") for user_id, course_id in islice(pairs, BATCH_SIZE)]:
            yield PairBatch(batch)


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a CSV file with the columns `user_id` and `course_id`; other columns are ignored.

    Raises:
        SettingsError: the file is unusable.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in PAIR_COLUMNS if name not in (rows.fieldnames or ())]:
                raise SettingsError(
                    f"The pairs_file {path} has no column {missing[0]}: it needs {' and '.join(PAIR_COLUMNS)}."
                )
            for row in rows:
                user_id, course_id = (row[name] or "" for name in PAIR_COLUMNS)
                if not user_id.strip() or not course_id.strip():
                    raise SettingsError(f"The pairs_file {path}, line {rows.line_num}, lacks a user_id or course_id.")
                yield user_id, course_id
    except OSError as error:
        raise SettingsError(f"The pairs_file {path} can't be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"The pairs_file {path} can't be read as a CSV in UTF-8: {error}.") from None
