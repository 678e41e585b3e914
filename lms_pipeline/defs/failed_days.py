"""Which accounts the sensor `failed_days` requests again: those that a failed run or tick left without the open day.

Belongs here: what failed and was not requested since. Not here: the requests, and what the schedule requests
(`run_requests.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from lms_pipeline.defs.asset_checks import list_snapshot_check_keys
from lms_pipeline.defs.failures import CONTINUES_AT_TAG
from lms_pipeline.defs.ranges import is_range
from lms_pipeline.defs.run_requests import (
    DAILY_SNAPSHOT,
    ENROLLMENTS,
    find_latest_runs,
    find_missing_snapshots,
    has_failed,
    has_no_pull,
)
from lms_pipeline.errors import LakeError, StorageError
from lms_pipeline.lake.lock import is_locked
from lms_pipeline.lake.paths import AnyPartition, DataDir, Partition
from lms_pipeline.lake.waiting import find_waiting, utc_now
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    from lms_pipeline.lake.index import PublicationIndex

TICK_GRACE_SECONDS = 120.0
"""Dagster evaluates a tick again within a minute if its code server could not be reached."""

log = logging.getLogger(__name__)


def find_ended_tick(instance: dg.DagsterInstance, since: datetime, location: str | None = None) -> datetime | None:
    """Return the time of the schedule's latest tick since a time; None if that goes on, or the schedule is off.

    `location` is the code location of the schedule: an instance may have several installations. None is any.
    """
    # no public names: the switches and the ticks of schedules
    from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType, TickStatus

    start = since.timestamp()
    states = instance.all_instigator_state(
        instigator_type=InstigatorType.SCHEDULE, instigator_statuses={InstigatorStatus.RUNNING}
    )
    for state in states:
        if state.name != DAILY_SNAPSHOT or location not in {None, state.repository_selector.location_name}:
            continue
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, after=start - 1, limit=1):
            has_ended = tick.status is not TickStatus.STARTED
            if has_ended and tick.timestamp >= start and time.time() - (tick.end_timestamp or 0.0) > TICK_GRACE_SECONDS:
                return datetime.fromtimestamp(tick.timestamp, UTC)
    return None


@dataclass(frozen=True, slots=True)
class FailedDays:
    """What is requested again, each with the reason."""

    pulls: dict[Partition, str]
    metrics: dict[Partition, str]
    """What is published, without its metrics."""


def find_failed_days(
    instance: dg.DagsterInstance, data: DataDir, account_ids: Collection[str], day: date, tick: datetime | None = None
) -> FailedDays:
    """Find the partitions of a day that have no snapshot, or no metrics of it, after their latest run.

    That run failed; or it is one of several accounts that has left this one, as another run was pulling it; or it waits for
    its LMS, and the note of that is lost. With an ended tick of the schedule also those without any run: the tick failed, or
    the account became active after it.
    """
    latest, now = find_latest_runs(instance, day, account_ids), utc_now()
    waiting = {pull.partition: pull for pull in find_waiting(data, day)}
    ended: dict[str, bool] = {}
    for account_id in account_ids:
        record, partition = latest.get(account_id), Partition(account_id, day)
        pull = waiting.get(partition)
        if pull is not None and pull.is_expected(now):
            continue
        if record is None:
            if tick is not None:
                ended[account_id] = True
            continue
        was_left = pull is None and (_has_left_accounts(record) or CONTINUES_AT_TAG in record.dagster_run.tags)
        if was_left or has_failed(record):
            ended[account_id] = was_left
    if not ended:
        return FailedDays({}, {})
    missing = find_missing_snapshots(data, day, ended)
    # whoever pulls one is not done
    pulls = [one for one in missing if not (ended[one.account_id] and is_locked(data, one))]
    failed = {account_id: latest[account_id].dagster_run for account_id, was_left in ended.items() if not was_left}
    # one of the metrics alone that failed for good would fail again, each hour
    published = {Partition(account_id, day): run for account_id, run in failed.items() if not has_no_pull(run)}
    for partition in missing:
        published.pop(partition, None)
    reasons = {account_id: f"after {record.dagster_run.run_id}" for account_id, record in latest.items()}
    return FailedDays(
        {one: reasons.get(one.account_id, f"after the tick of {tick}") for one in pulls},
        {one: reasons[one.account_id] for one in _find_without_metrics(data, day, published)},
    )


def _find_without_metrics(data: DataDir, day: date, published: Mapping[Partition, dg.DagsterRun]) -> list[Partition]:
    """Return the published partitions whose metrics are missing or of an earlier pull, given with their failed run.

    The table that a run publishes last stands for all of its metrics. Few files are opened: most accounts of a failed run
    of several have their metrics, and such a run pulls no published account again.
    """
    from lms_pipeline.lake.index_sync import read_index  # imports Arrow, which no other tick needs

    last = {partition: _find_last_metrics(run) for partition, run in published.items()}

    def read(index: PublicationIndex) -> set[AnyPartition]:
        found = {one.partition: one for one in index.find(day=day)}
        return {one for one, table in last.items() if one in found and found[one].has_file(table.name)}

    if not published:
        return []
    try:
        complete = read_index(data, read, is_compared=False, may_build=False)
    except (LakeError, StorageError) as error:
        log.warning("The files of all failed accounts are opened, to find metrics of %s: %s", day, error)
        complete = set()
    suspects = [one for one, run in published.items() if one not in complete or not is_range(run.tags)]
    return [one for one in suspects if _lacks_metrics(data, one, last[one])]


def _find_last_metrics(run: dg.DagsterRun) -> Table:
    """Return the table of metrics that a run publishes last; of all metrics if it selects none."""
    selected = run.asset_selection or ()
    chosen = [table for table in METRIC_TABLES if dg.AssetKey(table.name) in selected]
    return (chosen or METRIC_TABLES)[-1]


def _lacks_metrics(data: DataDir, partition: Partition, table: Table) -> bool:
    """Return whether a table of metrics of a published partition is missing, can't be read, or is of another pull."""
    enrollments = _read_metadata(data, UNIFIED_ENROLLMENTS, partition)
    metrics = _read_metadata(data, table, partition)
    if enrollments is None:  # only another pull would help
        return False
    run_id = enrollments.get("run_id")
    return metrics is None or metrics.get("source_run_id", run_id) != run_id


def _read_metadata(data: DataDir, table: Table, partition: Partition) -> Mapping[str, str] | None:
    from lms_pipeline.lake.stored_footers import read_stored_metadata

    try:
        return read_stored_metadata(data.store, data.get_key(data.file(table, partition)))
    except (LakeError, StorageError):
        return None


def _has_left_accounts(record: dg.RunRecord) -> bool:
    """Return whether a run of several accounts succeeded that pulls enrollments: accounts without them were skipped."""
    run = record.dagster_run
    is_pull = run.asset_selection is None or not ENROLLMENTS.isdisjoint(run.asset_selection)
    return is_pull and run.is_success and is_range(run.tags)


def select_metrics(request: dg.RunRequest) -> dg.RunRequest:
    """Return a request of the metrics and of all checks, also of those that stop the metrics: it makes no call."""
    metrics = [dg.AssetKey(table.name) for table in METRIC_TABLES]
    return request._replace(asset_selection=metrics, asset_check_keys=list_snapshot_check_keys())
