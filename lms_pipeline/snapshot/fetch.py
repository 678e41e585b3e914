"""Pairs of learner and course on their way to the files: asked for, carried over, or told as their details show them.

What belongs here: carrying out a plan. Which pairs are worth a call is `pull/plan.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract import session
from lms_pipeline.extract.budget import BudgetSpentError
from lms_pipeline.extract.plan import Pair, Plan
from lms_pipeline.extract.session import BrokenListError, NotKeptError, fetch_list
from lms_pipeline.extract.strategies import PairBatch
from lms_pipeline.lake.files import TableFile, conforming
from lms_pipeline.snapshot.job import LISTS, TABLES, Order, Pull, Report
from lms_pipeline.snapshot.writer import EnrollmentFiles
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.transform.columns import repeat_value
from lms_pipeline.transform.dedupe import StagedRows
from lms_pipeline.transform.enrollments import OtherPairError, ResponseRecords, build_raw_batch
from lms_pipeline.transform.rosters import RosterEntry, build_roster_batch
from lms_pipeline.transform.users_courses import ListFlattener, ListName
from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline.truto.response import Page

T = TypeVar("T")

log = logging.getLogger(__name__)


def anew(take: Callable[[], T]) -> T:
    """What `take` gives; a list that broke off is taken once more from its beginning, and no more than once.

    Raises:
        TrutoError: it broke off again.
    """
    try:
        return take()
    except BrokenListError as broken:
        log.warning("%s The list is read once more from its beginning.", broken)
    try:
        return take()
    except BrokenListError as again:
        raise again.__cause__ or again from None


@dataclass
class TakenList:
    """A list in its file, which isn't closed yet, and the ids in it."""

    file: TableFile
    is_offered: bool = False
    """Whether the LMS has it: a list that it doesn't have is empty."""
    is_partial: bool = False
    ids: list[pa.Array] = field(default_factory=list)

    def unique_ids(self) -> list[str]:
        """Each id once, in the order of the list."""
        if not self.ids:
            return []
        unique: list[str] = pc.unique(pa.chunked_array(self.ids, pa.string())).to_pylist()
        return unique


def take_list(name: ListName, pull: Pull, files: ExitStack) -> TakenList:
    """Take one list into its file, which `files` closes.

    Raises:
        TrutoError: no answer.
    """
    order = pull.order

    def take() -> TakenList:
        table = TABLES[name]
        flattener = ListFlattener(name)
        with ExitStack() as opened:
            taken = TakenList(opened.enter_context(pull.publication.open(table)))
            waiting = opened.enter_context(StagedRows(table, table.key, pull.folder))
            for page in fetch_list(pull.session, order.account_id, LISTS[name], order.options):
                batch = flattener.flatten(page.records, page.received_at)
                waiting.add(batch)
                taken.is_offered = True
                taken.ids.append(batch.column(table.key[0]))
                taken.is_partial |= page.is_partial
            duplicates = waiting.settle(taken.file)
            if duplicates.total:
                flattener.counts["duplicates"] = duplicates.total
            pull.report.reading[name] = flattener.counts
            files.push(opened.pop_all())
        return taken

    taken = anew(take)
    pull.report.complete &= not taken.is_partial
    return taken


ROUNDS = 2


def take_sweep(pull: Pull, files: ExitStack, lists: Callable[[], tuple[Path, Path]]) -> EnrollmentFiles:
    """Take the list of enrollments; once more where some came twice.

    Raises:
        PairDemandedError: the account gives no list of enrollments.
        TrutoError: no answer.
    """
    round_ = 1
    while True:
        with ExitStack() as opened:
            taken = anew(partial(_take_round, pull, opened, round_))
            taken.settle(*lists())
            if taken.duplicates.total == 0 or round_ == ROUNDS:
                files.push(opened.pop_all())
                return taken
        log.warning(
            "%d enrollments of %s came twice: the list changed while it was read, and is read once more.",
            taken.duplicates.total,
            pull.order.account_id,
        )
        round_ += 1


def _take_round(pull: Pull, files: ExitStack, round_: int) -> EnrollmentFiles:
    order = pull.order
    with ExitStack() as opened:
        taken = opened.enter_context(EnrollmentFiles(order.identity, pull.publication, pull.folder))
        for page in session.sweep_enrollments(pull.session, order.account_id, order.options, round_):
            taken.answered([ResponseRecords(page.records, page.received_at)])
            taken.is_partial |= page.is_partial
            taken.repaired_pages += page.is_repaired
        files.push(opened.pop_all())
    return taken


NoCall = BudgetSpentError | NotKeptError
AT_ONCE = 500
"""Answers that become rows together: arrays of one row each would take most of the time."""


def counted(found: Iterable[PairBatch], report: Report) -> Iterator[PairBatch]:
    """What was found, while what was gone is counted: enrollments may be missing with it."""
    for some in found:
        if some.is_gone:
            report.gone += 1
        report.unusable += some.unusable
        report.complete &= not (some.is_gone or some.unusable)
        yield some


def take_pairs(pull: Pull, plan: Plan, taken: EnrollmentFiles) -> None:
    """Ask for what is worth it while there are calls, and bring the rest from the last snapshot and the details.

    Raises:
        BudgetSpentError: there are no calls left, and the rest can't or mustn't be told without.
        TrutoError: no answer.
    """
    spent = _ask(pull, plan, taken)
    if spent is not None:
        _tell_the_rest(pull, plan, taken, spent)
    for table, batches in (
        (UNIFIED_ENROLLMENTS, plan.carried("unified")),
        (RAW_ENROLLMENTS, plan.carried("raw")),
    ):
        for batch in batches:
            rows = conforming(batch, table)
            if table is UNIFIED_ENROLLMENTS:
                place = rows.schema.get_field_index("source")
                source = repeat_value("carried", "string", rows.num_rows)
                taken.rows(rows.set_column(place, rows.schema.field(place), source))
                pull.report.carried += rows.num_rows
            else:
                taken.raw.write(rows)


def _ask(pull: Pull, plan: Plan, taken: EnrollmentFiles) -> NoCall | None:
    """The error that ended the asking early, if any."""
    order, report = pull.order, pull.report
    stop = Event()
    spent: NoCall | None = None

    def ask(pair: Pair) -> Page | NoCall | None:
        try:
            return pull.session.fetch_pair(_query(order, pair))
        except BudgetSpentError as error:
            stop.set()
            return error
        except NotKeptError as error:  # of a replay: it was not asked for then
            return error

    # a replay takes every answer that was kept, whatever this version would have planned
    pairs = _until(stop, plan.to_ask(also_carried=pull.session.is_replay))
    with closing(map_in_order(ask, pairs, order.options.workers)) as answers:
        while some := list(islice(answers, AT_ONCE)):
            told: list[ResponseRecords] = []
            is_absent: dict[int, bool] = {}
            for pair, answer in some:
                if isinstance(answer, NoCall):
                    spent = answer
                    continue
                is_absent[pair.place] = answer is None or not answer.records
                if answer is None or not answer.records:
                    report.not_enrolled += 1
                    continue
                told.append(
                    ResponseRecords(answer.records, answer.received_at, (pair.user_id, pair.course_id))
                )
                taken.is_partial |= answer.is_partial or answer.next_cursor is not None
                taken.repaired_pages += answer.is_repaired
            _take(order, taken, told)
            plan.answered(is_absent)
    return spent


def _take(order: Order, taken: EnrollmentFiles, told: list[ResponseRecords]) -> None:
    try:
        taken.answered(told)
    except OtherPairError:
        raise LmsPipelineError(
            f"Account {order.account_id} answers with other enrollments than those of the learner and course that are "
            'asked for: set strategy = "sweep" for it in LMS_ACCOUNTS_FILE.'
        ) from None


def _tell_the_rest(pull: Pull, plan: Plan, taken: EnrollmentFiles, spent: NoCall) -> None:
    """The new and changed pairs that no call was left for, as their details show them."""
    for found, times in plan.unanswered():
        if pull.order.options.when_spent == "fail" or not all(entry.payload for entry in found):
            raise spent  # nothing but a call would tell of the pairs without details
        unified = build_roster_batch(found, times)
        raw = None if pull.order.options.remote_data == "drop" else _raw(found, times)
        taken.rows(unified, raw)
        pull.report.roster += unified.num_rows


def _raw(found: list[RosterEntry], times: list[datetime]) -> pa.RecordBatch:
    return build_raw_batch(
        [entry.user_id for entry in found],
        [entry.course_id for entry in found],
        [entry.payload for entry in found],
        "roster",
        times,
    )


def _query(order: Order, pair: Pair) -> ListQuery:
    return ListQuery(
        order.account_id,
        user=UserFilter(pair.user_id),
        course=CourseFilter(pair.course_id),
        ignore_remote_data=order.options.remote_data == "drop",
        remote_query=order.options.remote_query,
    )


def _until(stop: Event, pairs: Iterable[Pair]) -> Iterator[Pair]:
    for pair in pairs:
        if stop.is_set():
            return
        yield pair
