"""The strategies that find the pairs of an account: `roster`, `learner` and `pairs`.

Belongs here: the requests that each of them sends. Not here: the sweep (`session.py`), which strategy fits an account
(`strategy_selection.py`), the content of roster entries (`transform/rosters.py`).
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.transform.rosters import RosterEntry, RosterKey, read_roster_response
from lms_pipeline.truto.query import ObjectQuery, Resource
from lms_pipeline.truto.response import SingleRecord

StrategyName = Literal["sweep", "roster", "learner", "pairs"]

MAX_PROBES = 5
"""Records without a roster after which the account counts as one without rosters."""
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
    """None if no response lists the pairs."""
    is_gone: bool = False
    """Whether the course or user is in its list and no longer exists."""
    unusable: int = 0
    """Roster entries without a usable id."""


@dataclass(frozen=True, slots=True)
class RosterSource:
    """The list whose records hold rosters, one call for each record."""

    resource: Resource
    roster_key: RosterKey
    """The side of the pair that a roster lists."""
    missing: str
    """The error for an account whose records hold no rosters."""


ROSTER = RosterSource(
    "courses",
    "users",
    "The courses of account {account} come without their rosters: "
    'set strategy = "learner" or "pairs" in LMS_ACCOUNTS_FILE.',
)
"""TalentLMS lists the users of a course with role, dates, percentage and time, but without the completion status: from
`in_progress` to `failed` nothing changes in a roster."""
LEARNER = RosterSource(
    "users",
    "courses",
    "The users of account {account} come without their courses: "
    'set strategy = "roster" or "pairs" in LMS_ACCOUNTS_FILE.',
)
"""The courses of a user, with the completion status."""


@dataclass(frozen=True, slots=True)
class RosterStrategy:
    """Fetches each record of one list, whose response lists enrollments."""

    source: RosterSource
    session: FetchSession
    query: ObjectQuery
    workers: int

    @property
    def needs(self) -> set[Resource]:
        """The lists without which it finds nothing."""
        return {self.source.resource}

    def find_pairs(self, learners: Sequence[str], courses: Sequence[str]) -> Generator[PairBatch]:
        """Yield the pairs of each roster. Once one record holds a roster, a record without one counts as gone.

        Raises:
            NoRosterError: the records do not list enrollments.
            TrutoError: a request failed.
        """
        ids = learners if self.source.resource == "users" else courses
        has_roster = False
        without = 0
        with closing(map_in_order(self._fetch, ids, self.workers)) as responses:
            for record_id, record in responses:
                roster = record and read_roster_response(record.record, self.source.roster_key, record_id)
                if record and roster:
                    has_roster = True
                    yield PairBatch(roster.entries, record.received_at, unusable=roster.unusable)
                elif record is None or has_roster:
                    yield PairBatch(is_gone=True)
                else:
                    without += 1
                    if without == MAX_PROBES:
                        break
        if without and not has_roster:
            raise NoRosterError(self.source.missing.format(account=self.query.account_id))
        for _ in range(without):
            yield PairBatch(is_gone=True)

    def _fetch(self, record_id: str) -> SingleRecord | None:
        return self.session.client.fetch_record(self.source.resource, record_id, self.query)


@dataclass(frozen=True, slots=True)
class ExplicitPairs:
    """The pairs of a file, else every learner in every course; no request."""

    file: Path | None

    @property
    def needs(self) -> set[Resource]:
        """The lists without which it finds nothing."""
        return set() if self.file else {"users", "courses"}

    def find_pairs(self, learners: Sequence[str], courses: Sequence[str]) -> Generator[PairBatch]:
        """Yield the pairs of the file, else every learner in every course.

        Raises:
            SettingsError: the file is unusable.
        """
        every_pair = ((learner, course) for course in courses for learner in learners)
        pairs = read_pairs(self.file) if self.file else every_pair
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
                user_id, course_id = ((row[name] or "").strip() for name in PAIR_COLUMNS)
                if not user_id or not course_id:
                    raise SettingsError(f"The pairs_file {path}, line {rows.line_num}, lacks a user_id or course_id.")
                yield user_id, course_id
    except OSError as error:
        raise SettingsError(f"The pairs_file {path} can't be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"The pairs_file {path} can't be read as a CSV in UTF-8: {error}.") from None
