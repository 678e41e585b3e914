"""Which accounts the sensor `failed_days` requests again: those that a failed run or tick left without the open day.

Belongs here: what failed and is not made up for. Not here: the requests, and what the schedule requests
(`run_requests.py`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime

import dagster as dg

from lms_pipeline.defs.ranges import is_range
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT, find_latest_runs, find_missing_snapshots, has_failed
from lms_pipeline.lake.lock import is_locked
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.waiting import find_waiting, utc_now
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES

TICK_GRACE_SECONDS = 120.0
"""Dagster evaluates a tick again within a minute if its code server could not be reached."""


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


def find_failed_partitions(
    instance: dg.DagsterInstance, data: DataDir, account_ids: Collection[str], day: date, tick: datetime | None = None
) -> Iterator[tuple[Partition, str]]:
    """Yield the partitions of a day that have no snapshot after their latest run, with the reason of another one.

    That run failed; or it is one of several accounts that has left this one, as another run was pulling it. With an ended
    tick of the schedule also those without any run: the tick failed, or the account became active after it.
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
        was_left = _has_left_accounts(record) and pull is None
        if was_left or has_failed(record):
            ended[account_id] = was_left
    for partition in find_missing_snapshots(data, day, ended) if ended else ():
        if ended[partition.account_id] and is_locked(data, partition):  # whoever pulls it is not done
            continue
        record = latest.get(partition.account_id)
        yield partition, f"after {record.dagster_run.run_id}" if record else f"after the tick of {tick}"


def _has_left_accounts(record: dg.RunRecord) -> bool:
    """Return whether a run of several accounts succeeded that pulls enrollments: accounts without them were skipped."""
    run = record.dagster_run
    enrollments = {dg.AssetKey(table.name) for table in PULLED_TABLES if table not in {LEARNERS, COURSES}}
    is_pull = run.asset_selection is None or not enrollments.isdisjoint(run.asset_selection)
    return is_pull and run.is_success and is_range(run.tags)
