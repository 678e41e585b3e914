"""The enrollments of a run, by sweep or by pairs: from responses to the files of the run.

Belongs here: carrying out a strategy. Which pairs are worth a call is `extract/plan.py`, and `pairs.py` fetches them; the
order of stages is `stages.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from lms_pipeline.concurrency import read_ahead
from lms_pipeline.errors import LmsPipelineError, SettingsError, format_count
from lms_pipeline.extract.plan import FetchPlan, build_plan
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
from lms_pipeline.snapshot.pairs import carry_out_plan
from lms_pipeline.snapshot.previous import link_previous
from lms_pipeline.snapshot.writer import EnrollmentWriter
from lms_pipeline.transform.dedupe import SharedKeyError
from lms_pipeline.truto.query import ObjectQuery, Resource
from lms_pipeline.truto.store import NotKeptError

PairStrategy = RosterStrategy | ExplicitPairs

MAX_ROUNDS = 2
"""Sweeps of one run: a list that changes while it is read serves enrollments twice."""

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
                _add_raw_list(raw_format, writer, opened)
            paths = lists.close(context.describe(choice.name, complete=lists.is_complete))
            duplicates = _deduplicate(context.job, writer, paths, opened)
            if not duplicates or round_ == MAX_ROUNDS:
                files.push(opened.pop_all())
                gaps = None if raw_format is None else raw_format.describe_gaps(writer.count_missing_raw())
                return FetchedEnrollments(choice, writer, raw_gaps=gaps)
        log.warning(
            "%s of %s came twice: the list changed while it was read, and is read once more.",
            format_count(duplicates, "enrollment"),
            context.job.account_id,
        )
        round_ += 1


def _deduplicate(job: SnapshotJob, writer: EnrollmentWriter, lists: tuple[Path, Path], files: ExitStack) -> int:
    try:
        return writer.deduplicate(*lists, files)
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
        with closing(read_ahead(sweep_enrollments(context.session, job.account_id, job.options, round_))) as pages:
            writer.add_responses(map(writer.add_page, pages))
        files.push(opened.pop_all())
    return writer


def _open_raw_format(context: SnapshotContext, files: ExitStack) -> RawFormat | None:
    job = context.job
    if not job.options.uses_raw_format:
        return None
    return files.enter_context(open_raw_format(context.session, job.account_id, job.options))


@retry_once
def _add_raw_list(raw_format: RawFormat, writer: EnrollmentWriter, files: ExitStack) -> None:
    """Write the raw list. In a second round of the sweep its responses are stored, and cost no call."""
    writer.begin_raw_list(files)
    with closing(read_ahead(raw_format.fetch_pages())) as pages:
        for page in pages:
            writer.add_raw_page(page)


def _fetch_by_pairs(context: SnapshotContext, choice: Choice, lists: Lists, files: ExitStack) -> FetchedEnrollments:
    """Find the pairs, plan their calls, and carry out the plan."""
    job = context.job
    strategy = _build_strategy(context, choice)
    _require_lists(context, choice, strategy.needs, lists)
    previous = link_previous(context.data, job, choice.name, context.scratch)
    previous_day = None if previous is None else previous.day
    if context.requires_previous and (previous is None or context.previous_day not in {None, previous_day}):
        raise NotKeptError(
            f"The snapshot of {job.partition} carried rows over from the previous one, which is missing or was replaced: "
            "its snapshot stays as it is."
        )
    context.session.save_replay_context(ReplayContext.of(job, choice, previous_day).to_json())
    missing: Counter[str] = Counter()
    missing["unusable"] = lists.count_rejected(strategy.needs)
    ids = lists.read_ids()
    # closed at an interrupt, too: the responses on their way are waited for and stored before the last copy is sent
    with closing(strategy.find_pairs(ids.learners, ids.courses)) as found:
        plan = files.enter_context(
            build_plan(
                _count_missing(found, missing),
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
    not_enrolled = carry_out_plan(context, plan, writer, raw_format)
    complete = lists.is_complete and not missing.total()
    writer.deduplicate(*lists.close(context.describe(choice.name, complete=complete)), files)
    fetched, changed = plan.compare_rotation(writer.unified.path)
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
