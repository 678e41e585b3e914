"""One snapshot run, a pull or a replay: from the lock to the result.

Belongs here: what a run opens and closes around its stages, and what it does after an interruption. Not here: the stages
(`stages.py`); what goes in and comes out (`job.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from lms_pipeline.days import Calendar
from lms_pipeline.errors import LakeError
from lms_pipeline.extract.budget import Budget
from lms_pipeline.extract.checkpoint import Attempt, Checkpoint, use_checkpoint
from lms_pipeline.extract.checkpoint_copies import DEFAULT_INTERVAL_SECONDS, CheckpointCopies
from lms_pipeline.extract.checkpoint_file import CheckpointError, DamagedCheckpointError
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.extract.volume import BoundedStore
from lms_pipeline.lake.abandoned import remove_abandoned
from lms_pipeline.lake.commit_mark import find_run_id, restore_interrupted
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.lock import PartitionLock, partition_lock
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.publishing import Publication, find_published_files, remove_leftovers
from lms_pipeline.lake.pull_files import CheckpointPlace
from lms_pipeline.lake.reclaim import make_space
from lms_pipeline.lake.row_drop import RowDropError
from lms_pipeline.lake.waiting import WaitingPull, read_waiting, save_waiting, take_waiting, utc_now
from lms_pipeline.snapshot.job import (
    TABLES,
    Connect,
    SnapshotContext,
    SnapshotJob,
    SnapshotResult,
    find_published_attempt,
)
from lms_pipeline.snapshot.present import OpenDay, OpenDayStore, check_present, is_kept
from lms_pipeline.snapshot.stages import run_stages
from lms_pipeline.snapshot.volume import check_stopped, stop_at_bounds, watch_space
from lms_pipeline.tables.pulled import PULLED_TABLES, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline.truto.transport import Gate
from lms_pipeline.truto.waiting import ContinuesLaterError, WaitTooLongError

log = logging.getLogger(__name__)


def take_snapshot(
    job: SnapshotJob,
    *,
    connect: Connect,
    data: DataDir,
    calendar: Calendar,
    now: Callable[[], datetime],
    report_plan: Callable[[str], None] = log.info,
    checkpoint_seconds: float = DEFAULT_INTERVAL_SECONDS,
) -> SnapshotResult:
    """Pull an account and publish its tables as the snapshot of the job's day, or none of them.

    A closed day keeps the snapshot that it has, without a call. An interrupted pull continues with the responses in its
    checkpoint. A snapshot that one of the job's `interrupted_runs` published is published again without a call.
    `report_plan` receives the fetch plan as one sentence, before its calls are made. With a bucket, the responses are copied
    to it each `checkpoint_seconds`.

    Raises:
        DayNotOpenError: the day is not open, or closes before the pull ends, and has no snapshot.
        WrongPresentError: the clock or the time zone contradicts what was recorded before.
        StoppedPullError: it stopped at a bound a short time ago.
        LakeError: the disk has too little free space, or a file is unusable.
        StorageError: the store or the state can't be used.
        LockedError: another run pulls the same account and day.
        BudgetSpentError: the calls that the snapshot may cost are used up.
        VolumeSpentError: the responses are larger than the snapshot may receive.
        ContinuesLaterError: no call is allowed for more than a minute; the pull continues with the next run.
        WaitTooLongError: no call is allowed before the day closes.
        RowDropError: too many enrollments of the previous snapshot, or records that a list announced, are missing.
        TrutoError: a request failed.
    """
    started = time.monotonic()
    remove_abandoned(data)
    with partition_lock(data, job.partition, job.run_id) as lock:
        data.fetch(PULLED_TABLES, [job.partition])
        restore_interrupted(data, PULLED_TABLES, job.partition)
        if job.interrupted_runs and _find_publishing_run(data, job) in job.interrupted_runs:
            result = replace(_publish_again(job, data, lock, report_plan), was_published=True)
        elif is_kept(job, data, calendar, now()):
            if _is_half_replaced(data, job):
                result = _publish_again(job, data, lock, report_plan)
            else:
                result = SnapshotResult(find_published_files(data, PULLED_TABLES, job.partition), kept=True)
        else:
            waited = _take_wait(data, job)  # it ends here, also if the day is closed
            calendar.check_open(job.day, now())
            check_present(data, job.partition, calendar, now())
            check_stopped(data, job)
            remove_leftovers(data, PULLED_TABLES, job.partition)
            make_space(data, job.partition)
            place = CheckpointPlace.of(data, job.partition, lists_only=job.lists_only)
            with CheckpointCopies(place, lock.check, checkpoint_seconds) as copies:
                open_day = OpenDay(job.partition, calendar, now)
                inputs = _PullInputs(connect, data, open_day, place.path, copies, lock, waited, report_plan)
                consequence = f"{job.partition} is fetched again"
                result = use_checkpoint(place.path, partial(_pull, job, inputs), consequence, copies.fetch_again)
    return replace(result, seconds=time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _PullInputs:
    """What a pull needs besides its job and its checkpoint."""

    connect: Connect
    data: DataDir
    open_day: OpenDay
    checkpoint_path: Path
    copies: CheckpointCopies
    lock: PartitionLock
    waited: WaitingPull | None
    report_plan: Callable[[str], None]


def _pull(job: SnapshotJob, inputs: _PullInputs, checkpoint: Checkpoint) -> SnapshotResult:
    """Pull the account with the responses that its checkpoint has, and publish."""
    with inputs.copies.follow(checkpoint):
        attempt = checkpoint.begin(job.fingerprint, inputs.open_day.now(), trust_rejected=job.allow_drop)
        result = _pull_attempt(job, inputs, attempt)
        _finish(job, attempt)
    return result


def _finish(job: SnapshotJob, attempt: Attempt) -> None:
    """Mark the snapshot as published. It is: what fails from here on costs calls at most, and fails no run."""
    try:
        attempt.finish()
    except DamagedCheckpointError:  # the next pull sets the file aside
        pass
    except CheckpointError as error:
        replay = f"lms-pipeline replay --account {job.account_id} --date {job.day}"
        unless = "" if job.lists_only else f", unless `{replay}` marks them before"
        log.warning(
            "%s is published, but its responses are not marked so: another pull of the day publishes them again instead of "
            "fetching%s. %s",
            job.partition,
            unless,
            error,
        )


def _pull_attempt(job: SnapshotJob, inputs: _PullInputs, attempt: Attempt) -> SnapshotResult:
    data, open_day, waited, now = inputs.data, inputs.open_day, inputs.waited, inputs.open_day.now
    started = time.monotonic()
    spent = waited.spent_seconds if waited else 0.0
    resume_within = timedelta(hours=job.options.resume_hours)
    watch = watch_space(data, job, inputs.checkpoint_path, inputs.lock.scratch)
    store = BoundedStore(attempt, job.account_id, job.options.max_gigabytes, watch)
    with (
        stop_at_bounds(data, job, attempt, watch),
        closing(Budget(job.account_id, job.limits, attempt, data.storage.state, spent_seconds=spent)) as budget,
        inputs.connect(
            open_day.guard_requests(_guard_lock(inputs.lock, budget)), OpenDayStore(store, open_day)
        ) as client,
        Publication(
            data, job.partition, job.run_id, watch, inputs.copies.prepare_publishing, inputs.lock.scratch
        ) as publication,
    ):
        session = FetchSession(
            client,
            attempt,
            max_records=job.options.max_records,
            recount=store.recount,
            measure_time_left=open_day.measure_time_left,
        )
        if waited is None or utc_now() - waited.at > resume_within:
            session.forget_stale_lists(now(), resume_within)
        context = SnapshotContext(job, data, session, publication, inputs.lock.scratch, now(), inputs.report_plan)
        try:
            return run_stages(context)
        except RowDropError:
            attempt.reject()
            raise
        except ContinuesLaterError as error:
            if error.seconds >= open_day.measure_time_left():
                raise WaitTooLongError(error, job.day, open_day.closes_at) from None
            _save_wait(context, error, spent + time.monotonic() - started)
            raise


def replay_snapshot(
    job: SnapshotJob, *, data: DataDir, report_plan: Callable[[str], None] = log.info
) -> SnapshotResult:
    """Publish a snapshot again from the responses in its checkpoint, without a call.

    Raises:
        NotKeptError: responses of the snapshot are missing.
        LockedError: another run pulls the same account and day.
        LakeError: a file is unusable.
        StorageError: the store or the state can't be used.
    """
    started = time.monotonic()
    with partition_lock(data, job.partition, job.run_id) as lock:
        data.fetch(PULLED_TABLES, [job.partition])
        restore_interrupted(data, PULLED_TABLES, job.partition)
        result = _replay(job, data, lock, report_plan)
    return replace(result, seconds=time.monotonic() - started)


def _save_wait(context: SnapshotContext, error: ContinuesLaterError, spent_seconds: float) -> None:
    """Store when the pull continues; a run of lists alone replaces no wait of the enrollments."""
    if _has_other_wait(context.data, context.job):
        return
    since = utc_now()
    pull = WaitingPull(
        account_id=context.job.account_id,
        day=context.job.day,
        run_id=context.job.run_id,
        since=since,
        at=since + timedelta(seconds=error.seconds),
        subject=error.subject,
        spent_seconds=spent_seconds + error.seconds,
        responses=context.session.attempt.count_responses(),
        lists_only=context.job.lists_only,
    )
    save_waiting(context.data, pull)


def _take_wait(data: DataDir, job: SnapshotJob) -> WaitingPull | None:
    """Return and remove what an earlier run of the job stored; that of the enrollments stays if the job is of lists alone."""
    return None if _has_other_wait(data, job) else take_waiting(data, job.partition)


def _has_other_wait(data: DataDir, job: SnapshotJob) -> bool:
    """Return whether a pull of the enrollments waits, while the job is of lists alone."""
    waiting = read_waiting(data, job.partition) if job.lists_only else None
    return waiting is not None and not waiting.lists_only


def _replay(job: SnapshotJob, data: DataDir, lock: PartitionLock, report_plan: Callable[[str], None]) -> SnapshotResult:
    """Publish the snapshot again from its stored responses. The caller holds the partition's lock."""
    place = CheckpointPlace.of(data, job.partition)
    with CheckpointCopies(place, lock.check) as copies, copies.naming_damage():
        if not place.path.exists():
            raise NotKeptError(f"No responses of {job.partition} are stored: its snapshot stays as it is.")
        with Checkpoint(place.path) as checkpoint, copies.follow(checkpoint):
            attempt, replay_context = find_published_attempt(data, job, checkpoint)
            if attempt.fingerprint != job.fingerprint:
                raise NotKeptError(
                    f"The options of {job.account_id} in LMS_ACCOUNTS_FILE differ from those with which {job.day} was "
                    "pulled: restore them."
                )
            if not attempt.is_finished:  # before anything is replaced: the run that published the attempt finds it
                attempt.finish()
            remove_leftovers(data, PULLED_TABLES, job.partition)
            with (
                TrutoClient.for_replay(attempt) as client,
                Publication(
                    data, job.partition, job.run_id, before_publishing=copies.prepare_publishing, scratch=lock.scratch
                ) as publication,
            ):
                context = SnapshotContext(
                    replay_context.apply(job),
                    data,
                    FetchSession(client, attempt),
                    publication,
                    lock.scratch,
                    _find_pulled_at(data, job, attempt),
                    report_plan,
                    requires_previous=replay_context.has_previous,
                    previous_day=replay_context.get_previous_day(),
                )
                return run_stages(context)


def _find_pulled_at(data: DataDir, job: SnapshotJob, attempt: Attempt) -> datetime:
    """Return when the published snapshot was pulled, as its files say; when the attempt began if none is readable."""
    for table in (UNIFIED_ENROLLMENTS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS):
        path = data.file(table, job.partition)
        with suppress(LakeError, KeyError, ValueError):
            if path.exists():
                return datetime.fromisoformat(read_metadata(path)["pulled_at"])
    return attempt.started_at


def _guard_lock(lock: PartitionLock, gate: Gate) -> Gate:
    """Return a gate that lets no request pass once the lock is lost: another run may make the same ones."""

    def pass_gate(request: Request) -> None:
        lock.check_at_times()
        gate(request)

    return pass_gate


def _publish_again(
    job: SnapshotJob, data: DataDir, lock: PartitionLock, report_plan: Callable[[str], None]
) -> SnapshotResult:
    """Publish the snapshot of an interrupted run again, without a call; keep its files where that is impossible.

    The run may have died before it stored the fingerprints and the outcome, so both are written now.
    """
    if not job.lists_only:
        try:
            return _replay(job, data, lock, report_plan)
        except (NotKeptError, DamagedCheckpointError) as error:
            log.warning("%s", error)
    tables = [TABLES[name] for name in sorted(job.tables)] if job.lists_only else PULLED_TABLES
    return SnapshotResult(find_published_files(data, tables, job.partition), kept=True)


def _is_half_replaced(data: DataDir, job: SnapshotJob) -> bool:
    """Return whether a publication that died has replaced files of a snapshot in a bucket; on a disk, they are put back."""
    if data.store.is_local or job.lists_only:
        return False
    tables = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS)
    return len({find_run_id(data.file(table, job.partition)) for table in tables}) > 1


def _find_publishing_run(data: DataDir, job: SnapshotJob) -> str | None:
    """Return the run that published everything the job needs; None if there is none, or a file is damaged."""
    names = job.tables if job.lists_only else {UNIFIED_ENROLLMENTS.name}
    paths = [data.file(TABLES[name], job.partition) for name in names]
    runs = {find_run_id(path) for path in paths}
    return runs.pop() if len(runs) == 1 else None
