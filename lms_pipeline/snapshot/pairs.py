"""The enrollments of a run by pairs: from the fetch plan to the files of the run.

Belongs here: carrying out a plan, as far as there are calls. Which pairs are worth a call is `extract/plan.py`; how the
pairs are found is `fetch.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import takewhile
from threading import Event
from typing import NamedTuple, TypeVar, get_args

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.days import DayNotOpenError
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.budget import BudgetSpentError
from lms_pipeline.extract.plan import FetchPlan, Pair
from lms_pipeline.extract.raw_format import RawFormat
from lms_pipeline.snapshot.job import SnapshotContext, SnapshotJob
from lms_pipeline.snapshot.writer import EnrollmentWriter
from lms_pipeline.transform.enrollments import OtherPairError, RawColumns, build_raw_batch
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline.transform.rosters import build_roster_batch
from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline.truto.response import Page
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline.truto.waiting import ContinuesLaterError

T = TypeVar("T")

NoCall = BudgetSpentError | NotKeptError
"""Why a pair is not fetched: no call is left, or a replay has no response about it."""
NO_CALL: tuple[type[NoCall], ...] = get_args(NoCall)

BATCH_RESPONSES = 500
"""Responses that are passed on together: arrays of one row each would take most of the time."""
MAX_PENDING_BYTES = 16 * 2**20
"""Bytes of records from which on a batch has fewer responses."""


class FetchedPair(NamedTuple):
    """The responses about one pair."""

    unified: Page | None
    """None if there is no enrollment."""
    raw: Page | NoCall | None = None
    """The response in the raw format; None if it is not requested or there is none."""


def carry_out_plan(
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
    page = _try_call(context, partial(context.session.client.fetch_pair, query))
    if isinstance(page, NoCall):
        return page
    if raw_format is None or page is None or not page.records:
        return FetchedPair(page)
    return FetchedPair(page, _try_call(context, partial(raw_format.fetch_pair, query)))


def _try_call(context: SnapshotContext, fetch: Callable[[], T]) -> T | NoCall:
    """Return what a call brings; the error if no call is left, none before the day closes, or if a replay has no response."""
    try:
        return fetch()
    except NO_CALL as error:
        return error
    except DayNotOpenError:
        pass
    except ContinuesLaterError as error:
        if error.seconds < context.session.measure_time_left():
            raise
    return BudgetSpentError(
        f"The grace period of {context.job.day} ends before all enrollments of {context.job.account_id} can be fetched: start "
        "pulls earlier (LMS_SCHEDULE), or allow them more calls an hour (calls_per_hour)."
    )


def _add_pairs(
    job: SnapshotJob, plan: FetchPlan, writer: EnrollmentWriter, pairs: list[tuple[Pair, FetchedPair]]
) -> int:
    """Write the responses about pairs, and return how many of them have no enrollment.

    A response that announces an enrollment and has none makes the snapshot partial, and its pair counts as not fetched.
    """
    records: list[ResponseRecords] = []
    is_absent: dict[int, bool] = {}
    for pair, (page, raw) in pairs:
        if page is None or not (page.records or page.next_cursor or page.is_partial or page.announced):
            is_absent[pair.position] = True
            continue
        response = writer.add_page(page, (pair.user_id, pair.course_id), raw if isinstance(raw, Page) else None)
        if page.records:
            is_absent[pair.position] = False
            records.append(response)
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
        if len(batch) == BATCH_RESPONSES or batch_bytes >= MAX_PENDING_BYTES:
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
        raw = RawColumns()
        raw.extend(
            [entry.user_id for entry in entries],
            [entry.course_id for entry in entries],
            [entry.payload for entry in entries],
            times,
        )
        batch = None if options.remote_data == "drop" else build_raw_batch(raw, "roster")
        writer.add_roster_rows(build_roster_batch(entries, times, writer.reading), batch)


def _build_pair_query(job: SnapshotJob, pair: Pair) -> ListQuery:
    return ListQuery(
        job.account_id,
        user=UserFilter(pair.user_id),
        course=CourseFilter(pair.course_id),
        ignore_remote_data=job.options.remote_data != "keep",
        remote_query=job.options.remote_query,
    )
