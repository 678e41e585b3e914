"""What a snapshot is asked to be, and what came of it.

What belongs here: plain data between who asks for a snapshot and who takes it.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import msgspec

from lms_pipeline.accounts.options import AccountOptions, read_options
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.extract.strategies import StrategyName
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication, Published
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import PULLED_TABLES, Identity, resolve_identity
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


class ReplayContext(msgspec.Struct, frozen=True, kw_only=True):
    """As they were when the strategy was chosen."""

    run_id: str
    strategy: StrategyName
    why: str
    is_settled: bool
    may_carry: bool
    rotation_days: int
    has_before: bool = False
    """Whether there was a snapshot to carry over from."""

    @classmethod
    def of(cls, order: Order, choice: Choice, *, has_before: bool = False) -> ReplayContext:
        """Those of a snapshot that is being taken."""
        return cls(
            run_id=order.run_id,
            strategy=choice.name,
            why=choice.why,
            is_settled=choice.is_settled,
            may_carry=order.may_carry,
            rotation_days=order.options.rotation_days,
            has_before=has_before,
        )

    def applied_to(self, order: Order) -> Order:
        """The order as it was then."""
        return replace(
            order,
            remembered=Choice(self.strategy, self.why, self.is_settled),
            may_carry=self.may_carry,
            options=msgspec.structs.replace(order.options, rotation_days=self.rotation_days),
        )

    def written(self) -> str:
        """As JSON."""
        return msgspec.json.encode(self).decode()


def read_circumstances(told: str | None) -> ReplayContext | None:
    """Those that were written; None where there are none, or others than this version writes."""
    try:
        return None if told is None else msgspec.json.decode(told, type=ReplayContext)
    except msgspec.DecodeError:
        return None


log = logging.getLogger(__name__)


def load_job(
    settings: Settings,
    data: DataDir,
    account_id: str,
    day: date,
    run_id: str,
    *,
    tables: frozenset[str] | None = None,
    allow_drop: bool = False,
) -> Order:
    """The order for the snapshot of an account and day; all tables where none are named.

    Raises:
        UnknownAccountError: nobody has this id.
        SettingsError: the file of options can't be used.
    """
    from lms_pipeline.extract.budget import Limits
    from lms_pipeline.extract.strategy_selection import Choice

    account = Registry(data.registry).get(account_id)
    options = read_options(settings.accounts_file).get(account.id, AccountOptions())
    return Order(
        account_id=account.id,
        day=day,
        run_id=run_id,
        identity=resolve_identity(account.integration, options.identity),
        options=options,
        tables=tables or frozenset(TABLES),
        limits=Limits.of(options, account.integration, settings.account_calls_per_10s),
        remembered=None if account.strategy == "auto" else Choice(account.strategy, account.why),
        may_carry=account.carrying_stopped is None,
        allow_drop=allow_drop,
    )


def remember(data: DataDir, order: Order, report: Report) -> None:
    """Keep in the registry what was chosen, and that nothing is carried any more where too much had changed."""
    if report.kept or order.lists_only:
        return
    registry = Registry(data.registry)
    if order.options.strategy == "auto" and report.is_settled:
        registry.remember_strategy(order.account_id, report.strategy, report.why)
    if report.carrying_stops:
        registry.stop_carrying(order.account_id, order.day)
        log.warning(
            "%d of %d enrollments of %s that seemed unchanged had changed: from now on all are asked for. Look at its "
            "runs, and carry again with `lms-pipeline accounts add %s`.",
            report.carry_differing,
            report.carry_asked,
            order.account_id,
            order.account_id,
        )


@dataclass(frozen=True, slots=True)
class Pull:
    """Who is asked, for what, and where it goes."""

    session: FetchSession
    order: Order
    publication: Publication
    folder: Path
    """For what waits; it is emptied afterwards."""
    report: Report = field(default_factory=Report)
