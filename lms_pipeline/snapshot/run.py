"""One snapshot being taken, from the first question to the last rename.

What belongs here: what comes after what: the lists, the strategy, the enrollments, the audit, the publishing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from lms_pipeline.days import Calendar
from lms_pipeline.errors import SettingsError
from lms_pipeline.extract.budget import Budget
from lms_pipeline.extract.checkpoint import Attempt, Checkpoint
from lms_pipeline.extract.plan import Plan, planned
from lms_pipeline.extract.session import FetchSession, NotKeptError, PairDemandedError, build_sweep_query
from lms_pipeline.extract.strategies import (
    Learner,
    ListNotOfferedError,
    NoRosterError,
    Pairs,
    PairStrategy,
    Roster,
    StrategyName,
)
from lms_pipeline.extract.strategy_selection import Choice, choose_details_strategy, pair_requirement
from lms_pipeline.housekeeping.cleanup import find_old_responses, remove
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.lake.disk import check_free_space
from lms_pipeline.lake.files import Provenance, TableFile, read_metadata
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.publishing import (
    Publication,
    RowDropError,
    check_drop,
    check_sum,
    published_files,
    remove_leftovers,
)
from lms_pipeline.snapshot.estimate import plan_told
from lms_pipeline.snapshot.fetch import TakenList, counted, take_list, take_pairs, take_sweep
from lms_pipeline.snapshot.job import LISTS, TABLES, Order, Pull, ReplayContext, Report, read_circumstances
from lms_pipeline.snapshot.previous import last_snapshot, remember_details
from lms_pipeline.snapshot.writer import EnrollmentFiles
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.query import ObjectQuery
from lms_pipeline.truto.transport import Gate


class Taking:
    """Takes one snapshot; nothing is visible before all of it is there."""

    def __init__(
        self,
        pull: Pull,
        data: DataDir,
        pulled_at: datetime,
        tell: Callable[[str], None],
        *,
        needs_before: bool = False,
    ) -> None:
        self._pull = pull
        self._session = pull.session
        self._order = pull.order
        self._report = pull.report
        self._data = data
        self._pulled_at = pulled_at
        self._tell = tell
        self._needs_before = needs_before

    def run(self) -> Report:
        """Ask, settle, publish."""
        with ExitStack() as files:
            if self._order.lists_only:
                self._lists_alone(files)
            else:
                self._everything(files)
        self._report.requests = self._session.requests
        return self._report

    def _lists_alone(self, files: ExitStack) -> None:
        taken = [(name, take_list(name, self._pull, files)) for name in LISTS if name in self._order.tables]
        for name, one in taken:
            if not one.is_offered:
                raise ListNotOfferedError(
                    f"The LMS of account {self._order.account_id} gives no list of its {LISTS[name]}."
                )
            self._close(one.file)
        self._report.published = self._pull.publication.publish(
            [(one.file, TABLES[name].key) for name, one in taken]
        )

    def _everything(self, files: ExitStack) -> None:
        learners, courses = (take_list(name, self._pull, files) for name in LISTS)
        remembered = self._order.remembered if self._order.options.strategy == "auto" else None
        try:
            plan, taken = self._enrollments(
                remembered or self._chosen(learners, courses), learners, courses, files
            )
        except (NoRosterError, PairDemandedError):
            if remembered is None:
                raise
            # the account has changed since: what was chosen then doesn't fit any more
            plan, taken = self._enrollments(self._chosen(learners, courses), learners, courses, files)
        taken.tell(self._report)
        self._publish(taken, learners, courses)
        if plan is not None:
            remember_details(self._data, self._order, self._report.strategy, plan)

    def _enrollments(
        self, choice: Choice, learners: TakenList, courses: TakenList, files: ExitStack
    ) -> tuple[Plan | None, EnrollmentFiles]:
        self._report.strategy, self._report.why = choice.name, choice.why
        self._report.is_settled = choice.is_settled
        if choice.name != "sweep":
            return self._pairs(choice, self._strategy(choice.name), learners, courses, files)
        self._session.save_replay_context(ReplayContext.of(self._order, choice).written())
        return None, take_sweep(self._pull, files, partial(self._closed, learners, courses))

    def _pairs(
        self,
        choice: Choice,
        strategy: PairStrategy,
        learners: TakenList,
        courses: TakenList,
        files: ExitStack,
    ) -> tuple[Plan, EnrollmentFiles]:
        order, options = self._order, self._order.options
        offered = {LISTS["learners"]: learners.is_offered, LISTS["courses"]: courses.is_offered}
        if missing := sorted(one for one in strategy.needs if not offered[one]):
            raise ListNotOfferedError(
                f"The LMS of account {order.account_id} gives no list of its {' and '.join(missing)}, which the strategy "
                f'{strategy.name} goes by: set strategy = "pairs" and a pairs_file for it in LMS_ACCOUNTS_FILE.'
            )
        before = last_snapshot(self._data, order, strategy.name, self._pull.folder)
        if self._needs_before and before is None:
            raise NotKeptError(
                "The snapshot can't be made again: the one before it, from which it carried over, isn't there as it was."
            )
        self._session.save_replay_context(
            ReplayContext.of(order, choice, has_before=before is not None).written()
        )
        found = strategy.find(learners.unique_ids(), courses.unique_ids())
        plan = files.enter_context(
            planned(
                counted(found, self._report),
                before,
                folder=self._pull.folder,
                may_carry=order.may_carry,
                rotation_days=options.rotation_days,
            )
        )
        self._report.planned.update(plan.counts)
        self._tell(plan_told(order, strategy.name, plan.counts, plan.calls))
        taken = files.enter_context(EnrollmentFiles("pair", self._pull.publication, self._pull.folder))
        take_pairs(self._pull, plan, taken)
        taken.settle(*self._closed(learners, courses))
        asked, differing = plan.compared(taken.waiting.path)
        self._report.carry_asked, self._report.carry_differing = asked, differing
        self._report.carrying_stops = differing > asked * options.carry_errors
        return plan, taken

    def _chosen(self, learners: TakenList, courses: TakenList) -> Choice:
        """The strategy that was set, else the one that fits."""
        order = self._order
        if order.options.strategy != "auto":
            return Choice(order.options.strategy, "it is set in LMS_ACCOUNTS_FILE")
        because = pair_requirement(self._session, build_sweep_query(order.account_id, order.options))
        if because is None:
            return Choice("sweep", "its LMS lists all enrollments")
        ids = learners.unique_ids(), courses.unique_ids()
        return choose_details_strategy(self._session, self._detail_query, *ids, because)

    @property
    def _detail_query(self) -> ObjectQuery:
        return ObjectQuery(self._order.account_id)

    def _strategy(self, name: StrategyName) -> PairStrategy:
        options = self._order.options
        match name:
            case "roster":
                return Roster(self._session, self._detail_query, options.workers)
            case "learner":
                return Learner(self._session, self._detail_query, options.workers)
            case "pairs":
                return Pairs(Path(options.pairs_file) if options.pairs_file else None)
            case _:
                raise SettingsError(f"There is no strategy {name} that goes by pairs.")

    def _closed(self, learners: TakenList, courses: TakenList) -> tuple[Path, Path]:
        """The files of the lists, which can be read from now on."""
        for one in (learners, courses):
            if one.file.is_open:
                self._close(one.file)
        return learners.file.path, courses.file.path

    def _publish(self, taken: EnrollmentFiles, learners: TakenList, courses: TakenList) -> None:
        order, report = self._order, self._report
        report.oldest_fetch = taken.oldest_fetch
        for file in (taken.raw, taken.rejected):
            self._close(file)
        self._close(taken.unified, {"key": ",".join(taken.key), **report.sums})
        check_sum(
            brought=report.served + report.carried + report.roster,
            unified=taken.unified.rows,
            rejected=taken.rejected.rows,
            duplicates=report.duplicates.total,
        )
        if not (order.allow_drop or self._session.is_replay):
            check_drop(self._data, order.partition, taken.unified.rows, order.options.max_drop)
        report.published = self._pull.publication.publish(
            [
                (taken.raw, ()),
                (taken.rejected, ()),
                (learners.file, LEARNERS.key),
                (courses.file, COURSES.key),
                (taken.unified, taken.key),
            ]
        )

    def _close(self, file: TableFile, more: Mapping[str, str] | None = None) -> None:
        provenance = Provenance(
            run_id=self._order.run_id,
            pulled_at=self._pulled_at,
            strategy=self._report.strategy,
            requests=self._session.requests,
            complete=self._report.complete,
        )
        file.close({**provenance.metadata(), **(more or {})})


log = logging.getLogger(__name__)


class Connect(Protocol):
    """Opens a client whose every request passes a gate."""

    def __call__(self, gate: Gate, /) -> AbstractContextManager[TrutoClient]:
        """A client, as a context manager."""
        ...


def take_snapshot(
    connect: Connect,
    data: DataDir,
    calendar: Calendar,
    now: Callable[[], datetime],
    order: Order,
    *,
    tell: Callable[[str], None] = log.info,
) -> Report:
    """Pull an account and publish its tables as the snapshot of `order.day`, or none of them.

    A day that is over, its grace too, keeps the snapshot it has, without a call. A pull that was cut off goes on with
    the answers it had; `tell` is told what is going to be asked, before it is.

    Raises:
        DayNotOpenError: it is not the day that is open, and has no snapshot.
        LakeError: there is no room for it on the disk, or what is there can't be used.
        LockedError: somebody else is at it.
        BudgetSpentError: the calls that it may cost are used up.
        RowDropError: too many enrollments are missing that the snapshot before has.
        TrutoError: in one sentence, what and what to do.
    """
    started = time.monotonic()
    with partition_lock(data, order.partition) as folder:
        if now() >= calendar.closes_at(order.day) and _is_published(data, order):
            return Report(kept=True, published=published_files(data, PULLED_TABLES, order.partition))
        calendar.check_open(order.day, now())
        remove_leftovers(data, PULLED_TABLES, order.partition)
        check_free_space(data, order.partition)
        with Checkpoint(_answers(data, order)) as answers:
            attempt = answers.begin(order.plan, now(), believe=order.allow_drop)
            hourly = data.budgets / f"hour-{order.account_id}.sqlite"
            with (
                closing(Budget(order.account_id, order.limits, attempt, hourly)) as budget,
                connect(budget) as client,
                Publication(data, order.partition, order.run_id) as publication,
            ):
                session = FetchSession(client, attempt)
                session.forget_stale_lists(now(), timedelta(hours=order.options.resume_hours))
                try:
                    report = Taking(Pull(session, order, publication, folder), data, now(), tell).run()
                except RowDropError:
                    attempt.refuse()
                    raise
            attempt.finish()
        _remove_old_answers(data, order)
    report.seconds = time.monotonic() - started
    return report


def replay_snapshot(data: DataDir, order: Order, tell: Callable[[str], None] = log.info) -> Report:
    """Publish a snapshot anew from the answers that were kept of it, without a call.

    Raises:
        NotKeptError: they weren't, or not all of them.
        LockedError: somebody else is at it.
        LakeError: in one sentence, what and what to do.
    """
    started = time.monotonic()
    with partition_lock(data, order.partition) as folder:
        if not data.answers(order.partition).exists():
            raise NotKeptError(f"No answers of {order.partition} are kept: its snapshot stays as it is.")
        with Checkpoint(data.answers(order.partition)) as answers:
            attempt, then = _taken(data, order, answers)
            if attempt is None or then is None:
                raise NotKeptError(f"The pull of {order.partition} did not come to its end: pull it again.")
            if attempt.plan != order.plan:
                raise NotKeptError(
                    f"The options of {order.account_id} in LMS_ACCOUNTS_FILE were others when {order.day} was pulled: "
                    "set them as they were then."
                )
            remove_leftovers(data, PULLED_TABLES, order.partition)
            with Publication(data, order.partition, order.run_id) as publication:
                pull = Pull(FetchSession(None, attempt), then.applied_to(order), publication, folder)
                taking = Taking(pull, data, attempt.started_at, tell, needs_before=then.has_before)
                report = taking.run()
            if not attempt.is_finished:
                attempt.finish()
    report.seconds = time.monotonic() - started
    return report


def _taken(
    data: DataDir, order: Order, answers: Checkpoint
) -> tuple[Attempt, ReplayContext] | tuple[None, None]:
    """The attempt whose snapshot is published, also where its process died before it could note that."""
    published = data.file(UNIFIED_ENROLLMENTS, order.partition)
    run_id = read_metadata(published).get("run_id") if published.exists() else None
    for attempt in answers.attempts():
        then = read_circumstances(attempt.circumstances)
        if then is not None and (attempt.is_finished or then.run_id == run_id):
            return attempt, then
    return None, None


def _is_published(data: DataDir, order: Order) -> bool:
    wanted = order.tables if order.tables <= LISTS.keys() else {UNIFIED_ENROLLMENTS.name}
    return all(data.file(TABLES[name], order.partition).exists() for name in wanted)


def _answers(data: DataDir, order: Order) -> Path:
    """Lists that are pulled alone have answers of their own, and leave those of the enrollments alone."""
    path = data.answers(order.partition)
    return path.with_suffix(".lists.sqlite") if order.lists_only else path


def _remove_old_answers(data: DataDir, order: Order) -> None:
    """Remove the account's answers and details of days that are too long ago to be flattened again."""
    rules = RetentionPolicy(today=order.day, answer_days={order.account_id: order.options.answer_days})
    remove(data, find_old_responses(data, rules, order.account_id))
