"""Which partitions are worth asking for, and the requests for their runs.

What belongs here: what the schedule and the sensors share. A run key is never requested twice, so each carries what it
was asked for by.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from lms_pipeline.defs.partitions import partition_key
from lms_pipeline.enrollments.tables import UNIFIED_ENROLLMENTS
from lms_pipeline.lake.paths import DataDir, Partition

BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
ACCOUNT = "dagster/partition/account"
"""The tag by which a run tells its account."""


def lacks(data: DataDir, account_id: str, day: date) -> bool:
    """Whether an account has no snapshot of a day."""
    return not data.file(UNIFIED_ENROLLMENTS, Partition(account_id, day)).exists()


def key_of(partition: Partition) -> dg.MultiPartitionKey:
    """The partition's key."""
    return partition_key(partition.account_id or "", partition.day)


def last_runs(instance: dg.DagsterInstance, day: date) -> dict[str, dg.DagsterRun]:
    """The run that was last asked for of each account's day, by account; in one query, since a fleet has hundreds."""
    newest_first = instance.get_runs(dg.RunsFilter(tags={"dagster/partition/date": day.isoformat()}))
    return {run.tags[ACCOUNT]: run for run in reversed(newest_first) if ACCOUNT in run.tags}


def is_under_way(run: dg.DagsterRun) -> bool:
    """Whether somebody is at it or about to be, as where Dagster has yet to try it again."""
    return run.status in BUSY or run.is_complete_and_waiting_to_retry


def has_failed(run: dg.DagsterRun) -> bool:
    """Whether it brought nothing, and isn't tried again."""
    return run.status in FAILED and not is_under_way(run)


def run_request(partition: Partition, asked_by: str) -> dg.RunRequest:
    """A run for one account and day."""
    key = key_of(partition)
    return dg.RunRequest(run_key=f"{key} {asked_by}", partition_key=key)
