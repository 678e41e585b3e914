"""Which partitions are worth asking for, and the requests for their runs.

What belongs here: what the schedule and the sensors share. A run key is never requested twice, so each carries what it
was asked for by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

import dagster as dg

from lms_pipeline.defs.partitions import partition_key
from lms_pipeline.enrollments.tables import UNIFIED_ENROLLMENTS
from lms_pipeline.lake.paths import DataDir, Partition

BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def lacks(data: DataDir, account_id: str, day: date) -> bool:
    """Whether an account has no snapshot of a day."""
    return not data.file(UNIFIED_ENROLLMENTS, Partition(account_id, day)).exists()


def key_of(partition: Partition) -> dg.MultiPartitionKey:
    """The partition's key."""
    return partition_key(partition.account_id or "", partition.day)


def last_run(instance: dg.DagsterInstance, partition: Partition) -> dg.DagsterRun | None:
    """The run that was last asked for a partition, if any."""
    tags = {"dagster/partition": str(key_of(partition))}
    runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
    return runs[0] if runs else None


def idle(instance: dg.DagsterInstance, partitions: Iterable[Partition]) -> Iterator[Partition]:
    """Those of the partitions that nobody is at, or about to be."""
    for partition in partitions:
        last = last_run(instance, partition)
        if last is None or last.status not in BUSY:
            yield partition


def run_request(partition: Partition, asked_by: str) -> dg.RunRequest:
    """A run for one account and day."""
    key = key_of(partition)
    return dg.RunRequest(run_key=f"{key} {asked_by}", partition_key=key)
