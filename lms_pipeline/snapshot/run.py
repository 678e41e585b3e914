"""One snapshot being taken, from the first question to the last rename.

What belongs here: what comes after what: the lists, the strategy, the enrollments, the audit, the publishing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from lms_pipeline.errors import SettingsError
from lms_pipeline.extract.plan import Plan, planned
from lms_pipeline.extract.session import NotKeptError, PairDemandedError, sweep_query
from lms_pipeline.extract.strategies import (
    Learner,
    ListNotOfferedError,
    NoRosterError,
    Pairs,
    PairStrategy,
    Roster,
    StrategyName,
)
from lms_pipeline.extract.strategy_selection import Choice, choose_by_details, demands_pair
from lms_pipeline.lake.files import Provenance, TableFile
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.publishing import check_drop, check_sum
from lms_pipeline.snapshot.fetch import counted, take_pairs
from lms_pipeline.snapshot.job import LISTS, TABLES, Report
from lms_pipeline.snapshot.previous import last_snapshot, remember_details
from lms_pipeline.snapshot.writer import EnrollmentFiles
from lms_pipeline.tables.pulled import COURSES, LEARNERS
from lms_pipeline.taking.circumstances import Circumstances
from lms_pipeline.taking.lists import TakenList, take_list
from lms_pipeline.taking.sweep import take_sweep
from lms_pipeline.taking.telling import plan_told
from lms_pipeline.taking.underway import Pull
from lms_pipeline.truto.query import ObjectQuery


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
        self._asker = pull.asker
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
        self._report.requests = self._asker.requests
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
        self._asker.note(Circumstances.of(self._order, choice).written())
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
        self._asker.note(Circumstances.of(order, choice, has_before=before is not None).written())
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
        because = demands_pair(self._asker, sweep_query(order.account_id, order.options))
        if because is None:
            return Choice("sweep", "its LMS lists all enrollments")
        ids = learners.unique_ids(), courses.unique_ids()
        return choose_by_details(self._asker, self._detail_query, *ids, because)

    @property
    def _detail_query(self) -> ObjectQuery:
        return ObjectQuery(self._order.account_id)

    def _strategy(self, name: StrategyName) -> PairStrategy:
        options = self._order.options
        match name:
            case "roster":
                return Roster(self._asker, self._detail_query, options.workers)
            case "learner":
                return Learner(self._asker, self._detail_query, options.workers)
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
        if not (order.allow_drop or self._asker.is_replay):
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
            requests=self._asker.requests,
            complete=self._report.complete,
        )
        file.close({**provenance.metadata(), **(more or {})})
