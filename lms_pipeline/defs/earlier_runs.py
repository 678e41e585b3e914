"""What Dagster's log has of earlier runs, for a run of several accounts: what a retry need not do again.

Belongs here: reading events. Not here: what follows from them (`batch.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import dagster as dg

from lms_pipeline.defs.account_failures import AccountFailure, read_account_failures
from lms_pipeline.defs.failures import find_failed_ancestors
from lms_pipeline.lake.paths import Partition


@dataclass(frozen=True, slots=True)
class EarlierRuns:
    """What the failed runs before a retry have recorded, by the partition's key."""

    run_ids: frozenset[str] = frozenset()
    recorded: Mapping[str, frozenset[dg.AssetKey | dg.AssetCheckKey]] = field(default_factory=dict)
    """The tables and checks of each account and day."""
    failures: Mapping[Partition, AccountFailure] = field(default_factory=dict)
    """The latest failure of each account and day that has one."""

    @classmethod
    def load(cls, context: dg.AssetExecutionContext) -> EarlierRuns:
        """Read the events of the failed runs that the current run repeats."""
        recorded: dict[str, set[dg.AssetKey | dg.AssetCheckKey]] = {}
        failures: dict[Partition, AccountFailure] = {}
        run_ids = [run.run_id for run, _ in find_failed_ancestors(context)]
        for run_id in reversed(run_ids):
            for partition_key, key in _list_recorded(context.instance, run_id):
                recorded.setdefault(partition_key, set()).add(key)
            failures |= {failure.partition: failure for failure in read_account_failures(context.instance, run_id)}
        return cls(frozenset(run_ids), {key: frozenset(keys) for key, keys in recorded.items()}, failures)


def _list_recorded(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[str, dg.AssetKey | dg.AssetCheckKey]]:
    types = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    for entry in instance.all_logs(run_id, of_type=types):
        event = entry.get_dagster_event()
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if evaluation.partition is not None:
                yield str(evaluation.partition), evaluation.asset_check_key
        elif event.partition is not None and event.asset_key is not None:
            yield str(event.partition), event.asset_key


def find_materialization(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition_key: str
) -> dg.AssetMaterialization | None:
    """Return the latest materialization of a table of an account and day."""
    only = dg.AssetRecordsFilter(key, asset_partitions=[partition_key])
    return next((record.asset_materialization for record in instance.fetch_materializations(only, 1).records), None)


def find_evaluation(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition_key: str
) -> dg.AssetCheckEvaluation | None:
    """Return the latest result of a check of an account and day."""
    # no public names; the storage of events imports what definitions do not need
    from dagster._core.event_api import PartitionKeyFilter
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    evaluated = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    history = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=evaluated, partition_filter=PartitionKeyFilter(key=partition_key)
    )
    return next((record.evaluation for record in history), None)
