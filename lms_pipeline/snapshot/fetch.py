"""The enrollments of a run, by sweep or by pairs: from responses to the files of the run.

Belongs here: carrying out a strategy. Which pairs are worth a call is `extract/plan.py`; the order of stages is `run.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import NamedTuple

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.extract.budget import BudgetSpentError
from lms_pipeline.extract.plan import FetchPlan, Pair, build_plan
from lms_pipeline.extract.raw_format import RawFormat, open_raw_format
from lms_pipeline.extract.session import sweep_enrollments
from lms_pipeline.extract.strategies import (
    LEARNER,
    ROSTER,
    ExplicitPairs,
    ListNotOfferedError,
    PairBatch,
    RosterStrategy,
)
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.snapshot.estimate import format_plan
from lms_pipeline.snapshot.job import LISTS, PairCounts, ReplayContext, SnapshotContext, SnapshotJob
from lms_pipeline.snapshot.lists import Lists, retry_once
from lms_pipeline.snapshot.previous import link_previous
from lms_pipeline.snapshot.writer import EnrollmentWriter
from lms_pipeline.transform.dedupe import SharedKeyError
from lms_pipeline.transform.enrollments import OtherPairError, ResponseRecords, build_raw_batch
from lms_pipeline.transform.rosters import build_roster_batch
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, Resource, UserFilter
from lms_pipeline.truto.response import Page
from lms_pipeline.truto.store import NotKeptError

NoCall = BudgetSpentError | NotKeptError
NO_CALL = (BudgetSpentError, NotKeptError)
PairStrategy = RosterStrategy | ExplicitPairs

MAX_ROUNDS = 2
"""Sweeps of one run: a list that changes while it is read serves enrollments twice."""
BATCH_RESPONSES = 500
"""Responses that become rows together: arrays of one row each would take most of the time."""
MAX_BATCH_BYTES = 16 * 2**20
"""Bytes of records from which on a batch has fewer responses."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FetchedEnrollments:
    """The enrollments of a run in their files, which are still open."""

    choice: Choice
    writer: EnrollmentWriter
    pairs: PairCounts = field(default_factory=PairCounts)
    plan: FetchPlan | None = None
    raw_gaps: str | None = None
    """Why raw records are missing although the enrollments are complete; None if none are."""


class FetchedPair(NamedTuple):
    """The responses about one pair."""

    unified: Page | None
    """None if there is no enrollment."""
    raw: Page | NoCall | None = None
    """The response in the raw format; None if it is not requested or there is none."""


def fetch_enrollments(context: SnapshotContext, choice: Choice, lists: Lists, files: ExitStack) -> FetchedEnrollments:
    """Fetch the enrollments by the chosen strategy; `files` closes their files.

    Raises:
        PairDemandedError: the account gives no list of enrollments.
        NoRosterError: its records do not list its enrollments.
        LmsPipelineError: enrollments of different learners or courses share an id.
        ListNotOfferedError: the LMS does not offer a list that the strategy needs.
        BudgetSpentError: no call is left, and a remaining pair has no roster entry, or `when_spent` is `fail`.
        TrutoError: a request failed.
    """
    if choice.name == "sweep":
        return _sweep(context, choice, lists, files)
    return _fetch_by_pairs(context, choice, lists, files)


def _sweep(context: SnapshotContext, choice: Choice, lists: Lists, files: ExitStack) -> FetchedEnrollments:
    """Fetch the list of all enrollments, and once more where some came twice."""
    context.session.save_replay_context(ReplayContext.of(context.job, choice).to_json())
    raw_format = _open_raw_format(context, files)
    round_ = 1
    while True:
        with ExitStack() as opened:
            writer = _sweep_round(context, opened, round_)
            if raw_format is not None:
                _add_raw_list(raw_format, writer)
            paths = lists.close(context.describe(choice.name, complete=lists.is_complete))
            duplicates = _deduplicate(context.job, writer, paths)
            if not duplicates or round_ == MAX_ROUNDS:
                files.push(opened.pop_all())
                gaps = None if raw_format is None else raw_format.describe_gaps(0)
                return FetchedEnrollments(choice, writer, raw_gaps=gaps)
        log.warning(
            "%d enrollments of %s came twice: the list changed while it was read, and is read once more.",
            duplicates,
            context.job.account_id,
        )
        round_ += 1


def _deduplicate(job: SnapshotJob, writer: EnrollmentWriter, lists: tuple[Path, Path]) -> int:
    try:
        return writer.deduplicate(*lists)
    except SharedKeyError as shared:
        raise LmsPipelineError(
            f"Account {job.account_id} gives enrollments of different learners or courses the same enrollment id, {shared.rows:,} "
            'times, so that the id identifies no enrollment; nothing was published: set identity = "pair" for it in '
            "LMS_ACCOUNTS_FILE."
        ) from None


@retry_once
def _sweep_round(context: SnapshotContext, files: ExitStack, round_: int) -> EnrollmentWriter:
    job = context.job
    with ExitStack() as opened:
        writer = EnrollmentWriter(job.identity, context.publication, context.scratch, opened, job.raw_source)
        for page in sweep_enrollments(context.session, job.account_id, job.options, round_):
            writer.add_responses([writer.add_page(page)])
        files.push(opened.pop_all())
    return writer


def _open_raw_format(context: SnapshotContext, files: ExitStack) -> RawFormat | None:
    job = context.job
    if not job.options.uses_raw_format:
        return None
    return files.enter_context(open_raw_format(context.session, job.account_id, job.options))


@retry_once
def _add_raw_list(raw_format: RawFormat, writer: EnrollmentWriter) -> None:
    """Write the raw list. In a second round of the sweep its responses are stored, and cost no call."""
    writer.begin_raw_list()
    for page in raw_format.fetch_pages():
        writer.add_raw_page(page)


def _fetch_by_pairs(context: SnapshotContext, choice: Choice, lists: Lists, files: ExitStack) -> FetchedEnrollments:
    """Find the pairs, plan their calls, and carry out the plan."""
    job = context.job
    strategy = _build_strategy(context, choice)
    _require_lists(context, choice, strategy.needs, lists)
    previous = link_previous(context.data, job, choice.name, context.scratch)
    if context.requires_previous and previous is None:
        raise NotKeptError(
            f"The snapshot of {job.partition} carried rows over from the previous one, which is missing or was replaced: "
            "its snapshot stays as it is."
        )
    context.session.save_replay_context(ReplayContext.of(job, choice, has_previous=previous is not None).to_json())
    missing: Counter[str] = Counter()
    ids = lists.ids
    plan = files.enter_context(
        build_plan(
            _count_missing(strategy.find_pairs(ids.learners, ids.courses), missing),
            previous,
            folder=context.scratch,
            may_carry=job.may_carry,
            rotation_days=job.options.rotation_days,
        )
    )
    calls = plan.pairs_to_fetch * job.options.calls_per_page
    context.report_plan(format_plan(job, choice.name, plan.counts, calls))
    writer = EnrollmentWriter("pair", context.publication, context.scratch, files, job.raw_source)
    raw_format = _open_raw_format(context, files)
    not_enrolled = _carry_out(context, plan, writer, raw_format)
    complete = lists.is_complete and not missing.total()
    writer.deduplicate(*lists.close(context.describe(choice.name, complete=complete)))
    fetched, changed = plan.compare_rotation(writer.staged_path)
    pairs = PairCounts(
        planned=Counter(plan.counts),
        not_enrolled=not_enrolled,
        gone=missing["gone"],
        unusable=missing["unusable"],
        rotation_fetched=fetched,
        rotation_changed=changed,
        raw_calls_saved=writer.counts.carried if raw_format else 0,
        stops_carrying=changed > fetched * job.options.carry_errors,
    )
    gaps = None
    if raw_format is not None:
        gaps = raw_format.describe_gaps(writer.without_raw + plan.count_carried_without_raw())
    return FetchedEnrollments(choice, writer, pairs, plan, gaps)


def _build_strategy(context: SnapshotContext, choice: Choice) -> PairStrategy:
    options, query = context.job.options, ObjectQuery(context.job.account_id)
    match choice.name:
        case "roster":
            return RosterStrategy(ROSTER, context.session, query, options.workers)
        case "learner":
            return RosterStrategy(LEARNER, context.session, query, options.workers)
        case "pairs":
            return ExplicitPairs(Path(options.pairs_file) if options.pairs_file else None)
        case _:
            raise SettingsError(f"The strategy {choice.name} does not go by pairs.")


def _require_lists(context: SnapshotContext, choice: Choice, needs: set[Resource], lists: Lists) -> None:
    offered = {LISTS["learners"]: lists.learners.is_offered, LISTS["courses"]: lists.courses.is_offered}
    if missing := sorted(one for one in needs if not offered[one]):
        raise ListNotOfferedError(
            f"The LMS of account {context.job.account_id} gives no list of its {' and '.join(missing)}, which the strategy "
            f'{choice.name} goes by: set strategy = "pairs" and a pairs_file for it in LMS_ACCOUNTS_FILE.'
        )


def _count_missing(found: Iterable[PairBatch], missing: Counter[str]) -> Iterator[PairBatch]:
    """Yield the batches, and count what is gone or unusable: enrollments may be missing with it."""
    for batch in found:
        missing["gone"] += batch.is_gone
        missing["unusable"] += batch.unusable
        yield batch


def _carry_out(
    context: SnapshotContext, plan: FetchPlan, writer: EnrollmentWriter, raw_format: RawFormat | None
) -> int:
    """Carry out the plan, and return how many pairs have no enrollment.

    Pairs that are worth a call are fetched while calls are left. The others come from the previous snapshot and from
    the rosters.
    """
    not_enrolled, spent = _fetch_pairs(context, plan, writer, raw_format)
    if spent is not None:
        _write_roster_rows(context, plan, writer, spent)
    for batch in plan.read_carried("unified"):
        writer.add_carried_rows(batch)
    for batch in plan.read_carried("raw"):
        writer.add_carried_raw(batch)
    return not_enrolled


def _fetch_pairs(
    context: SnapshotContext, plan: FetchPlan, writer: EnrollmentWriter, raw_format: RawFormat | None
) -> tuple[int, NoCall | None]:
    """Return how many pairs have no enrollment, and the error that ended the calls early, if any."""
    client, job = context.session.client, context.job
    stop = Event()
    not_enrolled = 0
    spent: NoCall | None = None
    without_raw: list[tuple[Pair, FetchedPair]] = []

    def fetch(pair: Pair) -> FetchedPair | NoCall:
        fetched = _fetch_pair(context, pair, raw_format)
        last = fetched.raw if isinstance(fetched, FetchedPair) else fetched
        if isinstance(last, BudgetSpentError):
            stop.set()
        return fetched

    # A replay uses every stored response, whatever this version would have planned.
    pairs = takewhile(lambda _: not stop.is_set(), plan.read_pairs(include_carried=client.is_replay))
    with closing(map_in_order(fetch, pairs, job.options.workers)) as responses:
        for batch in _batch_responses(responses):
            complete: list[tuple[Pair, FetchedPair]] = []
            for pair, fetched in batch:
                if isinstance(fetched, NoCall):
                    spent = fetched
                elif isinstance(fetched.raw, NoCall):
                    spent = fetched.raw
                    without_raw.append((pair, fetched._replace(raw=None)))
                else:
                    complete.append((pair, fetched))
            not_enrolled += _add_pairs(job, plan, writer, complete)
    if raw_format is not None and raw_format.refusal is not None:
        _add_pairs(job, plan, writer, without_raw)  # no call would have brought their raw records
    return not_enrolled, spent


def _fetch_pair(context: SnapshotContext, pair: Pair, raw_format: RawFormat | None) -> FetchedPair | NoCall:
    """Fetch the enrollment of a pair, then its raw record where there is an enrollment.

    An error is returned if no call is left or, in a replay, if the run that is replayed did not fetch the pair.
    """
    query = _build_pair_query(context.job, pair)
    try:
        page = context.session.client.pair(query)
    except NO_CALL as error:
        return error
    if raw_format is None or page is None or not page.records:
        return FetchedPair(page)
    try:
        return FetchedPair(page, raw_format.fetch_pair(query))
    except NO_CALL as error:
        return FetchedPair(page, error)


def _add_pairs(
    job: SnapshotJob, plan: FetchPlan, writer: EnrollmentWriter, pairs: list[tuple[Pair, FetchedPair]]
) -> int:
    """Write the responses about pairs, and return how many of them have no enrollment."""
    records: list[ResponseRecords] = []
    is_absent: dict[int, bool] = {}
    for pair, (page, raw) in pairs:
        is_absent[pair.position] = page is None or not page.records
        if page is not None and page.records:
            raw_page = raw if isinstance(raw, Page) else None
            records.append(writer.add_page(page, (pair.user_id, pair.course_id), raw_page))
    _write_records(job, writer, records)
    plan.mark_fetched(is_absent)
    return sum(is_absent.values())


def _batch_responses(
    responses: Iterable[tuple[Pair, FetchedPair | NoCall]],
) -> Iterator[list[tuple[Pair, FetchedPair | NoCall]]]:
    """Yield the responses in batches of `BATCH_RESPONSES`, or fewer where they are large."""
    batch: list[tuple[Pair, FetchedPair | NoCall]] = []
    batch_bytes = 0
    for pair, fetched in responses:
        batch.append((pair, fetched))
        for page in fetched if isinstance(fetched, FetchedPair) else ():
            if isinstance(page, Page):
                batch_bytes += sum(memoryview(record).nbytes for record in page.records)
        if len(batch) == BATCH_RESPONSES or batch_bytes >= MAX_BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


def _write_records(job: SnapshotJob, writer: EnrollmentWriter, records: list[ResponseRecords]) -> None:
    try:
        writer.add_responses(records)
    except OtherPairError:
        raise LmsPipelineError(
            f"Account {job.account_id} answers with enrollments of other learners or courses than those of the request: "
            'set strategy = "sweep" for it in LMS_ACCOUNTS_FILE.'
        ) from None


def _write_roster_rows(context: SnapshotContext, plan: FetchPlan, writer: EnrollmentWriter, spent: NoCall) -> None:
    """Write the new and changed pairs that no call was left for, with the content of their roster entries."""
    options = context.job.options
    for entries, times in plan.read_unfetched():
        if options.when_spent == "fail" or not all(entry.payload for entry in entries):
            raise spent  # without a roster entry, nothing but a call brings the enrollment
        rows = ((*entry, fetched_at) for entry, fetched_at in zip(entries, times, strict=True))
        raw = None if options.remote_data == "drop" else build_raw_batch(rows, "roster")
        writer.add_roster_rows(build_roster_batch(entries, times), raw)


def _build_pair_query(job: SnapshotJob, pair: Pair) -> ListQuery:
    return ListQuery(
        job.account_id,
        user=UserFilter(pair.user_id),
        course=CourseFilter(pair.course_id),
        ignore_remote_data=job.options.remote_data != "keep",
        remote_query=job.options.remote_query,
    )
