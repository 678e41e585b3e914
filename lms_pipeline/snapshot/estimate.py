"""What a snapshot costs, in words: the plan of a run, and the estimate of a dry run.

Belongs here: counts and durations as sentences. Which calls a run makes is decided in `extract/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lms_pipeline.days import Calendar
from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.extract.budget import Budget
from lms_pipeline.extract.checkpoint import Attempt, Checkpoint
from lms_pipeline.extract.plan import Kind
from lms_pipeline.extract.session import FetchSession, fetch_list
from lms_pipeline.extract.strategies import read_pairs
from lms_pipeline.extract.strategy_selection import Choice, select_strategy
from lms_pipeline.extract.volume import BoundedStore
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.lake.space import SpaceWatch
from lms_pipeline.lake.stored_footers import count_stored_rows
from lms_pipeline.snapshot.job import Connect, SnapshotJob
from lms_pipeline.snapshot.present import check_later_snapshot, is_kept
from lms_pipeline.snapshot.previous import link_previous
from lms_pipeline.storage.disk import measure_size
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

KIND_WORDS: dict[Kind, str] = {
    "new": "new",
    "changed": "changed",
    "rotation": "again in rotation",
    "carried": "carried over",
}


def format_plan(job: SnapshotJob, strategy: str, counts: Counter[Kind], calls: int) -> str:
    """Return a fetch plan in words.

    For example `12,000 enrollments of acme by roster: 240 new, 11,760 carried over: 240 calls, about 53 s (limit: 2,000
    calls an hour).`
    """
    parts = [f"{counts[kind]:,} {words}" for kind, words in KIND_WORDS.items() if counts[kind]]
    found = f"{format_count(counts.total(), 'enrollment')} of {job.account_id} by {strategy}"
    return f"{found}{': ' if parts else ''}{', '.join(parts)}: {_format_calls(job, calls)}."


def _format_calls(job: SnapshotJob, calls: int) -> str:
    """Return calls and duration like `1,920 calls, about 7 min (limit: 2,000 calls an hour)`.

    The duration is the one that the limits allow: a burst within the hour's budget is faster than its average. Where
    the limits allow fewer calls, it is that of the allowed ones.
    """
    limits = job.limits
    limit = f" (limit: {format_count(limits.per_hour, 'call')} an hour)" if limits.per_hour else ""
    allowed = calls if limits.per_snapshot is None else min(calls, limits.per_snapshot)
    cap = "" if allowed == calls else f", of which {allowed:,} {choose_form(allowed, 'is', 'are')} allowed"
    seconds = limits.estimate_seconds(allowed, job.options.workers)
    return f"{format_count(calls, 'call')}{cap}, about {_format_duration(seconds)}{limit}"


def _format_duration(seconds: float) -> str:
    """Return a duration like `40 s`, `7 min` or `5.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def estimate_snapshot(
    job: SnapshotJob, *, connect: Connect, data: DataDir, calendar: Calendar, now: Callable[[], datetime]
) -> str:
    """Estimate the calls of a snapshot, in words; the estimate itself fetches only lists and metadata, and stores nothing.

    Its calls count in the account's hour, as those of a pull.

    Raises:
        DayNotOpenError, WrongPresentError: the day can't be pulled.
        ContinuesLaterError: the hour's calls are used up.
        TrutoError: a request failed.
    """
    if is_kept(job, data, calendar, now()):
        return "kept, the day is closed: no call"
    calendar.check_open(job.day, now())
    check_later_snapshot(data, job.partition)
    limits = replace(job.limits, per_snapshot=None)
    with scratch_folder("estimate") as folder, Checkpoint(folder / "checkpoint.sqlite") as checkpoint:
        attempt = checkpoint.begin(job.fingerprint, now())
        with (
            closing(Budget(job.account_id, limits, attempt, data.storage.state)) as budget,
            connect(budget, _bound_store(attempt, job, folder)) as client,
        ):
            return estimate_calls(FetchSession(client, attempt, max_records=job.options.max_records), data, job)


def _bound_store(attempt: Attempt, job: SnapshotJob, folder: Path) -> BoundedStore:
    watch = SpaceWatch(folder, f"The estimate of {job.partition}", lambda: measure_size(folder))
    return BoundedStore(attempt, job.account_id, job.options.max_gigabytes, watch)


def estimate_calls(session: FetchSession, data: DataDir, job: SnapshotJob) -> str:
    """Estimate the calls of a snapshot, in words, with requests for lists and metadata.

    Raises:
        TrutoError: a request failed.
    """
    sent_before = session.client.requests
    remembered = job.remembered if job.options.strategy == "auto" else None
    choice = remembered or select_strategy(session, job.account_id, job.options, read_ids=None)
    learners, courses = (
        sum(len(page.records) for page in fetch_list(session, job.account_id, resource, job.options))
        for resource in ("users", "courses")
    )
    list_calls = session.client.requests - sent_before
    latest = data.find_latest_snapshot(job.account_id, before=job.day)
    stored = (
        None if latest is None else count_stored_rows(data.store, data.get_key(data.file(UNIFIED_ENROLLMENTS, latest)))
    )
    known = (
        "no previous snapshot" if stored is None else f"{format_count(stored, 'enrollment')} in the previous snapshot"
    )
    head = f"{choice.name} ({choice.why}); {format_count(learners, 'user')}, {format_count(courses, 'course')}, {known}"
    calls = _estimate_enrollments(data, job, choice, sizes=(learners, courses), stored=stored, list_calls=list_calls)
    return f"{head}{calls}."


def _estimate_enrollments(
    data: DataDir, job: SnapshotJob, choice: Choice, *, sizes: tuple[int, int], stored: int | None, list_calls: int
) -> str:
    """Return the end of the estimate: the calls for the enrollments, lists included."""
    learners, courses = sizes
    calls_per_page = job.options.calls_per_page
    number = {1: "one", 2: "two"}[calls_per_page]
    if choice.name == "sweep":
        if stored is None:
            return ""
        pages = -(-stored // job.options.page_size) or 1
        return f": {_format_calls(job, list_calls + calls_per_page * pages)}"
    if choice.name == "pairs":
        file = job.options.pairs_file
        pairs = learners * courses if file is None else sum(1 for _ in read_pairs(Path(file)))
        return f": {_format_calls(job, list_calls + calls_per_page * pairs)}"
    rosters = courses if choice.name == "roster" else learners
    if stored is None:
        limit = calls_per_page * learners * courses
        return f": {format_count(rosters, 'call')} for rosters, then {number} for each enrollment, {limit:,} at most"
    with scratch_folder("estimate") as folder:
        previous = link_previous(data, job, choice.name, folder)
    if previous is None or not job.may_carry:
        return f": {_format_calls(job, list_calls + rosters + calls_per_page * stored)}"
    rotation = -(-stored // job.options.rotation_days) if job.options.rotation_days else 0
    calls = _format_calls(job, list_calls + calls_per_page * rotation + rosters)
    return f": {calls}, plus {number} call{'s' if calls_per_page > 1 else ''} for each changed enrollment"
