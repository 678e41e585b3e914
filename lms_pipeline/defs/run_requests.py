"""Which partitions are worth asking for, and the requests for their runs.

What belongs here: what the schedule and the sensors share. A run key is never requested twice, so each carries what it
was asked for by.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import date

import dagster as dg

from lms_pipeline.defs.partitions import partition_key
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

DAILY_SNAPSHOT = "daily_snapshot"
REBUILD_WAREHOUSE = "rebuild_warehouse"
HOUSEKEEPING = "housekeeping"
WATCH_FLEET = "watch_fleet"
JOB_NAMES = frozenset({DAILY_SNAPSHOT, REBUILD_WAREHOUSE, HOUSEKEEPING, WATCH_FLEET})
"""The jobs of this code location."""

BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
ACCOUNT = "dagster/partition/account"
"""The tag by which a run tells its account."""
NO_DAY_IS_OPEN = "No day is open at this hour: the last one's grace is over."
"""Why nothing is asked for."""
RETRY_GRACE_SECONDS = 120.0
"""Seconds after a run's end. Dagster makes the next one within some ten, or never: it misses a failure where it looks
between that and the mark that there will be a next one."""


def is_missing(data: DataDir, account_id: str, day: date) -> bool:
    """Whether an account has no snapshot of a day."""
    return not data.file(UNIFIED_ENROLLMENTS, Partition(account_id, day)).exists()


def build_partition_key(partition: Partition) -> dg.MultiPartitionKey:
    """The partition's key."""
    return partition_key(partition.account_id, partition.day)


def find_last_runs(instance: dg.DagsterInstance, day: date) -> dict[str, dg.RunRecord]:
    """The run that was last asked for of each account's day, by account; in one query, since a fleet has hundreds."""
    tags = {"dagster/partition/date": day.isoformat()}
    newest_first = instance.get_run_records(dg.RunsFilter(tags=tags))
    by_account = {record.dagster_run.tags.get(ACCOUNT, ""): record for record in reversed(newest_first)}
    by_account.pop("", None)  # somebody else's asset, which has days and no accounts
    return by_account


def is_under_way(record: dg.RunRecord) -> bool:
    """Whether somebody is at a run or about to be, as where Dagster has yet to make the one that takes its place."""
    run, ended = record.dagster_run, record.end_time or 0.0
    return run.status in BUSY or (
        run.is_complete_and_waiting_to_retry and time.time() - ended < RETRY_GRACE_SECONDS
    )


def has_failed(record: dg.RunRecord) -> bool:
    """Whether a run brought nothing, and isn't tried again."""
    return record.dagster_run.status in FAILED and not is_under_way(record)


def find_failed(
    instance: dg.DagsterInstance, data: DataDir, account_ids: Iterable[str], day: date
) -> Iterator[tuple[Partition, str]]:
    """Those of the accounts that lack the day since their last run for it failed, with that run's id."""
    last = find_last_runs(instance, day)
    for account_id in account_ids:
        record = last.get(account_id)
        if record is not None and has_failed(record) and is_missing(data, account_id, day):
            yield Partition(account_id, day), record.dagster_run.run_id


def build_run_request(partition: Partition, asked_by: str) -> dg.RunRequest:
    """A run for one account and day."""
    key = build_partition_key(partition)
    return dg.RunRequest(run_key=f"{key} {asked_by}", partition_key=key)
