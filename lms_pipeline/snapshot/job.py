"""What a snapshot is asked to be, and what came of it.

What belongs here: plain data between who asks for a snapshot and who takes it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime

import msgspec

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.strategies import StrategyName
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.publishing import Published
from lms_pipeline.tables.pulled import PULLED_TABLES, Identity
from lms_pipeline.transform.dedupe import NO_DUPLICATES, Duplicates
from lms_pipeline.transform.users_courses import ListName
from lms_pipeline.truto.query import Resource

LISTS: dict[ListName, Resource] = {"learners": "users", "courses": "courses"}
TABLES = {table.name: table for table in PULLED_TABLES}


@dataclass(frozen=True, slots=True)
class Order:
    """Which snapshot to take, and how."""

    account_id: str
    day: date
    run_id: str
    identity: Identity
    options: AccountOptions
    tables: frozenset[str] = frozenset(TABLES)
    """What was asked for. Enrollments bring all five tables, since one answer holds them; `learners` and `courses`
    can be had alone."""
    limits: Limits = field(default_factory=Limits)
    remembered: Choice | None = None
    """What `auto` chose at an earlier snapshot."""
    may_carry: bool = True
    """Whether what seems unchanged needn't be asked for again."""
    allow_drop: bool = False
    """Whether it may be published although many of the enrollments before are missing."""

    @property
    def partition(self) -> Partition:
        """Account and day."""
        return Partition(self.account_id, self.day)

    @property
    def lists_only(self) -> bool:
        """Whether no enrollment has to be asked for."""
        return self.tables <= LISTS.keys()

    @property
    def plan(self) -> str:
        """All that decides which requests are sent and what they bring: answers to another plan are of no use."""
        of = self.options
        lists = sorted(self.tables) if self.lists_only else None
        told = (lists, self.identity, of.strategy, of.remote_data)
        return msgspec.json.encode((*told, of.remote_query, of.page_size, of.pairs_file)).decode()


@dataclass
class Report:
    """What a snapshot took and brought; counts of records unless said otherwise."""

    strategy: StrategyName = "sweep"
    why: str = ""
    """Why this strategy."""
    is_settled: bool = True
    """Whether the strategy may be remembered for the next time."""
    kept: bool = False
    """The day is over and its snapshot stays: nothing was asked, `published` is what was there."""
    complete: bool = True
    """Nothing is known to be missing."""
    requests: int = 0
    seconds: float = 0
    served: int = 0
    carried: int = 0
    """Taken over from the last snapshot, since nothing tells that they changed."""
    roster: int = 0
    """Told as their details show them, since no call was left."""
    not_enrolled: int = 0
    """Pairs that were asked for and don't exist."""
    gone: int = 0
    """Courses or users that were listed, and weren't there any more when they were asked for."""
    unusable: int = 0
    """Entries of details without an id: enrollments that could not be asked for."""
    planned: Counter[str] = field(default_factory=Counter)
    """Pairs by what was planned for them: `new`, `changed`, `rotation`, `carried`."""
    carry_asked: int = 0
    """Pairs of the rotation that were asked for again."""
    carry_differing: int = 0
    """Of those, the ones that had changed although their details hadn't."""
    carrying_stops: bool = False
    """Too many of them had: nothing is carried any more until somebody looks."""
    oldest_fetch: datetime | None = None
    """When the oldest of the stored enrollments was really asked for."""
    repaired_pages: int = 0
    """Pages of enrollments with half an emoji in them, see `Page.is_repaired`."""
    rejected: int = 0
    duplicates: Duplicates = NO_DUPLICATES
    reading: dict[str, Counter[str]] = field(default_factory=dict)
    """By table how its records were read, see `RecordReader.counts`; of the lists also `rejected`, `duplicates`."""
    undocumented_statuses: Counter[str] = field(default_factory=Counter)
    published: list[Published] = field(default_factory=list)

    @property
    def sums(self) -> dict[str, str]:
        """Where every enrollment went, as the file of `unified_enrollments` tells it of itself."""
        counts = {
            "served": self.served,
            "carried": self.carried,
            "roster": self.roster,
            "rejected": self.rejected,
            "duplicates_identical": self.duplicates.identical,
            "duplicates_conflicting": self.duplicates.conflicting,
        }
        return {name: str(count) for name, count in counts.items()}

    @property
    def calls_saved(self) -> int:
        """Pairs that were not asked for, since nothing tells that they changed: one call each."""
        return self.planned["rotation"] + self.planned["carried"] - self.carry_asked
