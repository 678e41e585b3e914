"""One snapshot run as plain data: the job, what its stages share, its result, and what a replay needs.

Belongs here: how a job is loaded from the registry, and how its outcome is recorded there. The run is `run.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Self

import msgspec

from lms_pipeline.accounts.options import AccountOptions, load_options, resolve_identity
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.checkpoint import Attempt, Checkpoint
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.extract.strategies import StrategyName
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.lake.commit_mark import find_run_id
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication, Published
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS, Identity
from lms_pipeline.transform.dedupe import NO_DUPLICATES, Duplicates
from lms_pipeline.transform.enrollments import RawSource
from lms_pipeline.transform.users_courses import ListName
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.query import Resource
from lms_pipeline.truto.store import NotKeptError, ResponseStore
from lms_pipeline.truto.transport import Gate

LISTS: dict[ListName, Resource] = {"learners": "users", "courses": "courses"}
TABLES = {table.name: table for table in PULLED_TABLES}

log = logging.getLogger(__name__)


Connect = Callable[[Gate, ResponseStore], AbstractContextManager[TrutoClient]]
"""Opens a client whose requests pass a gate, and whose responses a store keeps."""


@dataclass(frozen=True, slots=True)
class SnapshotJob:
    """Which snapshot to make, and how."""

    account_id: str
    day: date
    run_id: str
    identity: Identity
    options: AccountOptions
    tables: frozenset[str] = frozenset(TABLES)
    """The requested tables. Enrollments bring all five tables, since one response holds them; `learners` and `courses`
    can be fetched without enrollments."""
    limits: Limits = field(default_factory=Limits)
    remembered: Choice | None = None
    """The strategy that `auto` selected for an earlier snapshot."""
    may_carry: bool = True
    """Whether rows that seem unchanged may be carried over without a call."""
    allow_drop: bool = False
    """Whether the snapshot may be published although many of the previous enrollments are missing."""
    interrupted_runs: frozenset[str] = frozenset()
    """The runs that this one replaces, since their process died. If one of them published the snapshot, no call is made."""

    @classmethod
    def load(
        cls,
        settings: Settings,
        partition: Partition,
        run_id: str,
        *,
        tables: frozenset[str] | None = None,
        allow_drop: bool = False,
        interrupted_runs: frozenset[str] = frozenset(),
    ) -> Self:
        """Load the job of an account and day from the registry and the options; all tables by default.

        Raises:
            UnknownAccountError: no account has this id.
            OtherSpellingError: its files would be those of another account.
            SettingsError: the file of options is unusable.
        """
        registry = Registry.open(settings)
        account = registry.get(partition.account_id)
        registry.refuse_other_spelling(account.id, DataDir.open(settings))
        options = load_options(settings).get(account.id, AccountOptions())
        return cls(
            account_id=account.id,
            day=partition.day,
            run_id=run_id,
            identity=resolve_identity(account.integration, options.identity),
            options=options,
            tables=tables or frozenset(TABLES),
            limits=Limits.of(options, account.integration, settings.account_calls_per_10s),
            remembered=None if account.strategy == "auto" else Choice(account.strategy, account.why),
            may_carry=account.carrying_stopped is None,
            allow_drop=allow_drop,
            interrupted_runs=interrupted_runs,
        )

    @property
    def partition(self) -> Partition:
        """Account and day."""
        return Partition(self.account_id, self.day)

    @property
    def lists_only(self) -> bool:
        """Whether the job needs no enrollments."""
        return self.tables <= LISTS.keys()

    @property
    def raw_source(self) -> RawSource:
        """Where the raw records of fetched enrollments come from."""
        return "raw" if self.options.uses_raw_format else "remote_data"

    @property
    def fingerprint(self) -> str:
        """Everything that decides which requests are sent and what they bring, as JSON.

        Stored responses and a previous snapshot with another fingerprint are unusable. The text must stay byte for byte:
        it is compared with the text that earlier versions stored.
        """
        options = self.options
        lists = sorted(self.tables) if self.lists_only else None
        decisive = (
            lists,
            self.identity,
            options.strategy,
            options.remote_data,
            options.remote_query,
            options.page_size,
            options.pairs_file,
        )
        return msgspec.json.encode(decisive).decode()


@dataclass(frozen=True, slots=True)
class SnapshotContext:
    """What every stage of one run needs."""

    job: SnapshotJob
    data: DataDir
    session: FetchSession
    publication: Publication
    scratch: Path
    """A folder for what does not fit into memory; it is emptied afterwards."""
    pulled_at: datetime
    """When the run began that published it, the last one of a pull that continued. A replay writes the same."""
    report_plan: Callable[[str], None]
    """Receives the fetch plan as one sentence, before its calls are made."""
    requires_previous: bool = False
    """Whether a replay can't do without the previous snapshot."""
    previous_day: date | None = None
    """The day of that snapshot; None if it is not stored: version 0.1.0 did not store it."""

    def describe(self, strategy: str, *, complete: bool) -> dict[str, str]:
        """Return the metadata of a file of this run."""
        return {
            "run_id": self.job.run_id,
            "pulled_at": self.pulled_at.isoformat(),
            "strategy": strategy,
            "requests": str(self.session.attempt.requests),
            "complete": str(complete).lower(),
        }


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Where the rows of a snapshot come from, and what became of them."""

    served: int = 0
    """Records in responses."""
    carried: int = 0
    """Rows carried over from the previous snapshot, since nothing says that they changed."""
    roster: int = 0
    """Rows with the content of their roster entries, since no call was left for them."""
    rejected: int = 0
    duplicates: Duplicates = NO_DUPLICATES
    repaired_pages: int = 0
    """Pages of enrollments with half an emoji in them, see `Page.is_repaired`."""
    oldest_fetch: datetime | None = None
    """When the oldest of the stored enrollments was fetched."""
    undocumented_statuses: Counter[str] = field(default_factory=Counter)

    @property
    def received(self) -> int:
        """Rows that the sources brought: unified, rejected and duplicates together."""
        return self.served + self.carried + self.roster

    @property
    def metadata(self) -> dict[str, str]:
        """The counts as the metadata of the file of `unified_enrollments`."""
        counts = {
            "served": self.served,
            "carried": self.carried,
            "roster": self.roster,
            "rejected": self.rejected,
            "duplicates_identical": self.duplicates.identical,
            "duplicates_conflicting": self.duplicates.conflicting,
        }
        return {name: str(count) for name, count in counts.items()}


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What became of the pairs of a snapshot by pairs; all zero for a sweep."""

    planned: Counter[str] = field(default_factory=Counter)
    """Pairs by kind: `new`, `changed`, `rotation`, `carried`."""
    not_enrolled: int = 0
    """Fetched pairs without an enrollment."""
    gone: int = 0
    """Courses or users in a list that no longer exist."""
    unusable: int = 0
    """Roster entries, courses and users without a usable id: enrollments that can't be fetched."""
    rotation_fetched: int = 0
    """Pairs of the rotation that were fetched."""
    rotation_changed: int = 0
    """Fetched pairs of the rotation that had changed although their roster entries had not."""
    raw_calls_saved: int = 0
    """Requests in the raw format that carried rows save."""
    stops_carrying: bool = False
    """Whether too many of them had changed: nothing is carried over until a person looks."""

    @property
    def calls_saved(self) -> int:
        """Calls for pairs that were not fetched, since nothing says that they changed: one call each, two with raw."""
        return self.planned["rotation"] + self.planned["carried"] - self.rotation_fetched + self.raw_calls_saved

    @property
    def has_missing(self) -> bool:
        """Whether enrollments may be missing, with a course, a user or a roster entry that is unusable."""
        return bool(self.gone or self.unusable)


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """What a run did and published."""

    published: list[Published] = field(default_factory=list)
    kept: bool = False
    """Whether the published snapshot stays as it is: its day is closed, or an interrupted run published it."""
    was_published: bool = False
    """Whether an interrupted run, which this one replaces, had published the snapshot: no call was made."""
    choice: Choice = field(default_factory=lambda: Choice("sweep", ""))
    complete: bool = True
    """Whether nothing is known to be missing, apart from `raw_gaps`."""
    raw_gaps: str | None = None
    """Why raw records are missing although the enrollments are complete, as a sentence; None if none are."""
    requests: int = 0
    seconds: float = 0
    rows: RowCounts = field(default_factory=RowCounts)
    pairs: PairCounts = field(default_factory=PairCounts)
    reading: dict[str, Counter[str]] = field(default_factory=dict)
    """By table how its records were read, see `RecordReader.counts`; for the lists also `rejected` and `duplicates`."""


class ReplayContext(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about a snapshot and is not in the job's fingerprint, stored beside the responses as JSON."""

    run_id: str
    strategy: StrategyName
    why: str
    is_settled: bool
    may_carry: bool
    rotation_days: int
    has_previous: bool = msgspec.field(name="has_before", default=False)
    """Whether there was a previous snapshot to carry over from."""
    previous_day: date | msgspec.UnsetType = msgspec.UNSET
    """The day of that snapshot; version 0.1.0 did not store it."""

    @classmethod
    def of(cls, job: SnapshotJob, choice: Choice, previous_day: date | None = None) -> Self:
        """Return the context of a running job; `previous_day` is that of the snapshot to carry over from, None without one."""
        return cls(
            run_id=job.run_id,
            strategy=choice.name,
            why=choice.why,
            is_settled=choice.is_settled,
            may_carry=job.may_carry,
            rotation_days=job.options.rotation_days,
            has_previous=previous_day is not None,
            previous_day=msgspec.UNSET if previous_day is None else previous_day,
        )

    def get_previous_day(self) -> date | None:
        """Return the day of the snapshot to carry over from; None if it is not stored."""
        return None if isinstance(self.previous_day, msgspec.UnsetType) else self.previous_day

    def apply(self, job: SnapshotJob) -> SnapshotJob:
        """Return the job as it was."""
        return replace(
            job,
            remembered=Choice(self.strategy, self.why, self.is_settled),
            may_carry=self.may_carry,
            options=msgspec.structs.replace(job.options, rotation_days=self.rotation_days),
        )

    def to_json(self) -> str:
        """Return the stored text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Read a stored text; None if there is none, or it is of another version."""
        try:
            return None if text is None else msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError:
            return None


def find_published_attempt(data: DataDir, job: SnapshotJob, checkpoint: Checkpoint) -> tuple[Attempt, ReplayContext]:
    """Return the attempt whose snapshot is published, even if its process died before it marked it as finished.

    Raises:
        NotKeptError: there is none.
    """
    run_id = find_run_id(data.file(UNIFIED_ENROLLMENTS, job.partition))
    for attempt in checkpoint.attempts():
        context = ReplayContext.from_json(attempt.replay_context)
        if context is not None and (attempt.is_finished or context.run_id == run_id):
            return attempt, context
    raise NotKeptError(f"The pull of {job.partition} did not finish: pull it again.")


def record_outcome(data: DataDir, job: SnapshotJob, result: SnapshotResult) -> None:
    """Record in the registry the selected strategy, and that carrying over stops where too much had changed."""
    if result.kept or job.lists_only:
        return
    registry = Registry(data)
    if job.options.strategy == "auto" and result.choice.is_settled:
        registry.remember_strategy(job.account_id, result.choice.name, result.choice.why)
    if result.pairs.stops_carrying:
        registry.stop_carrying(job.account_id, job.day)
        log.warning(
            "%d of %d enrollments of %s that seemed unchanged had changed: from now on all of them are fetched. Look at "
            "its runs, and allow carrying over again with `lms-pipeline accounts add %s`.",
            result.pairs.rotation_changed,
            result.pairs.rotation_fetched,
            job.account_id,
            job.account_id,
        )
