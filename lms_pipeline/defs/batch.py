"""A run of several accounts: one after the other, each with events of its own. The failure of one does not stop the next.

Belongs here: which accounts of the range are skipped, and what a retry knows of the runs before it. Not here: the steps of an
account (`account_steps.py`), which ranges are requested (`run_requests.py`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg

from lms_pipeline.accounts.registry import Registry, load_display_names
from lms_pipeline.connection import Truto
from lms_pipeline.defs.account_failures import AccountFailure, AccountsFailedError, read_account_failures
from lms_pipeline.defs.account_steps import AccountSteps, find_pulled
from lms_pipeline.defs.asset_checks import build_evaluation
from lms_pipeline.defs.failures import RETRY_NUMBER_TAG, find_failed_ancestors
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.errors import LakeError, LmsPipelineError
from lms_pipeline.lake.lock import LockedError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.waiting import read_waiting, utc_now
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.pulled import COURSES, LEARNERS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

BatchEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetObservation
"""What is yielded: an output, like a `MaterializeResult`, would be one of all partitions of the range."""
LISTS = {table.name: table for table in (LEARNERS, COURSES)}
"""The tables that are pulled without the enrollments if they alone are selected."""


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


@dataclass(frozen=True)
class Batch:
    """The accounts and days of a run, in the order in which they follow each other."""

    context: dg.AssetExecutionContext
    truto: Truto
    lake: DataDir
    partitions: Sequence[Partition]
    allow_drop: bool = False

    @cached_property
    def _earlier(self) -> EarlierRuns:
        return EarlierRuns.load(self.context)

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return load_display_names(self.truto.settings)

    @cached_property
    def _selected(self) -> frozenset[dg.AssetKey | dg.AssetCheckKey]:
        return frozenset({*self.context.selected_asset_keys, *self.context.selected_asset_check_keys})

    @cached_property
    def _pulled(self) -> frozenset[str]:
        return find_pulled(self.context)

    @property
    def _asset_of_failures(self) -> dg.AssetKey:
        """The asset on whose page an account's failure is: the enrollments, if they are selected."""
        enrollments = dg.AssetKey(UNIFIED_ENROLLMENTS.name)
        keys = self.context.selected_asset_keys or {key.asset_key for key in self.context.selected_asset_check_keys}
        return enrollments if enrollments in keys else min(keys, key=dg.AssetKey.to_user_string)

    def run(self) -> Iterator[BatchEvent]:
        """Run each account and day, and yield its events.

        Raises:
            AccountsFailedError: some failed; all were tried.
        """
        failures = self._find_final_failures()
        for failure in failures:  # first: also a retry that is killed has them
            yield failure.build_observation(self._asset_of_failures)
        failed_before = {failure.partition for failure in failures}
        for partition in self.partitions:
            if partition in failed_before:
                continue
            failed = yield from self._run_account(partition)
            if failed is not None:
                failures.append(failed)
                yield failed.build_observation(self._asset_of_failures)
        if failures:
            raise AccountsFailedError(failures, len(self.partitions))

    def _find_final_failures(self) -> list[AccountFailure]:
        """Find the accounts that a retry does not try again: they failed for good, and no other run has published them since.

        A person who repeats a run wants all of them tried.
        """
        if RETRY_NUMBER_TAG not in self.context.run.tags:
            return []
        found = [self._earlier.failures[one] for one in self.partitions if one in self._earlier.failures]
        known = {None, *self._earlier.run_ids}
        return [one for one in found if not one.may_pass and self._find_publisher(one.partition) in known]

    def _run_account(self, partition: Partition) -> Generator[BatchEvent, None, AccountFailure | None]:
        """Run one account and day, and yield its events; return why it failed."""
        from lms_pipeline.truto.waiting import ContinuesLaterError

        log = self.context.log
        try:
            reason = self._find_skip_reason(partition)
            if reason is not None:
                log.info("%s is skipped: it %s.", partition, reason)
                yield from self._repeat_events(partition, self.context.selected_asset_keys)
                yield from self._repeat_evaluations(partition)
            else:
                yield from self._run_steps(partition)
        except ContinuesLaterError:
            yield from self._report_wait(partition)
        except LockedError as error:  # the other run reports it; if it publishes nothing, another one is requested
            log.warning("%s", error)
        except LmsPipelineError as error:
            log.error("%s: %s", partition, error)  # noqa: TRY400 - the sentence is enough
            return AccountFailure.of(partition, error)
        except Exception as error:  # the others follow; the run fails at its end and names this account
            log.exception("%s failed unexpectedly.", partition)
            return AccountFailure.of(partition, error)
        return None

    def _run_steps(self, partition: Partition) -> Iterator[BatchEvent]:
        """Run the steps of an account and day, without the pull if another run has published it and only metrics lack."""
        is_published = self._is_published(partition)
        if is_published:
            self.context.log.info("%s is published without all of its metrics: they are computed.", partition)
            yield from self._repeat_events(partition, {dg.AssetKey(name) for name in self._pulled})
        steps = AccountSteps(
            self.context,
            self.truto,
            self.lake,
            partition,
            self._names.get(partition.account_id, partition.account_id),
            allow_drop=self.allow_drop,
            interrupted_runs=self._earlier.run_ids,
            has_pull=not is_published,
            is_logged=False,
        )
        for event in steps.run():
            if isinstance(event, dg.AssetMaterialization):
                yield event
            else:
                yield build_evaluation(event, build_partition_key(partition))

    def _find_skip_reason(self, partition: Partition) -> str | None:
        """Return why nothing is done for an account and day; None if something is."""
        if self._is_done(partition):
            return "was done by the run before"
        if not self._pulled:
            return None
        accounts = Registry(self.lake).read_active()
        if not any(account.id == partition.account_id for account in accounts):
            return "is not active"
        waiting = read_waiting(self.lake, partition)
        if waiting is not None and waiting.is_expected(utc_now()):
            return "waits for its LMS, and is continued by a run of its own"
        return "is published" if self._is_published(partition) and self._has_metrics(partition) else None

    def _is_published(self, partition: Partition) -> bool:
        """Return whether another run than those before this one published what would be pulled."""
        publisher = self._find_publisher(partition)
        return bool(self._pulled) and publisher is not None and publisher not in self._earlier.run_ids

    def _has_metrics(self, partition: Partition) -> bool:
        """Return whether each selected metric table is there, and is of the published enrollments."""
        run_id = self._read_metadata(UNIFIED_ENROLLMENTS, partition).get("run_id")
        selected = [table for table in METRIC_TABLES if dg.AssetKey(table.name) in self._selected]
        # a file that does not say of which enrollments it is counts as of these
        found = (self._read_metadata(table, partition) for table in selected)
        return all(metadata and metadata.get("source_run_id", run_id) == run_id for metadata in found)

    def _read_metadata(self, table: Table, partition: Partition) -> dict[str, str]:
        """Return the metadata of a published file; empty if there is none, or it is damaged: then a new one repairs it."""
        from lms_pipeline.lake.files import read_stored_metadata

        try:
            return read_stored_metadata(self.lake.store, self.lake.get_key(self.lake.file(table, partition))) or {}
        except StoreError:
            raise
        except LakeError:
            return {}

    def _find_publisher(self, partition: Partition) -> str | None:
        """Return the run that published what would be pulled; None if something of it is missing."""
        tables = self._pulled if self._pulled and self._pulled <= LISTS.keys() else {UNIFIED_ENROLLMENTS.name}
        publishers = [self._read_metadata(TABLES[name], partition).get("run_id") for name in tables]
        return publishers[0] if None not in publishers else None

    def _is_done(self, partition: Partition) -> bool:
        """Return whether the runs before this one recorded all that is selected for an account and day."""
        return self._selected <= self._earlier.recorded.get(str(build_partition_key(partition)), frozenset())

    def _report_wait(self, partition: Partition) -> Iterator[dg.AssetObservation]:
        """Say when the pull of an account continues: in the log, and on its page."""
        waiting = read_waiting(self.lake, partition)
        if waiting is not None:
            sentence = waiting.describe(self.truto.settings.calendar.zone)
            self.context.log.info("%s: %s", partition, sentence)
            yield dg.AssetObservation(
                self._asset_of_failures,
                description=sentence,
                partition=build_partition_key(partition),
                metadata={"continues_at": dg.MetadataValue.timestamp(waiting.at)},
            )

    def _repeat_events(self, partition: Partition, keys: Iterable[dg.AssetKey]) -> Iterator[dg.AssetMaterialization]:
        """Yield the latest events of tables of an account and day again.

        Dagster expects events of each partition of a run, and would show the account as failed if the run fails.
        """
        partition_key = build_partition_key(partition)
        for key in keys:
            stored = _find_materialization(self.context.instance, key, partition_key)
            if stored is not None:
                yield dg.AssetMaterialization(key, partition=partition_key, metadata=stored.metadata)

    def _repeat_evaluations(self, partition: Partition) -> Iterator[dg.AssetCheckEvaluation]:
        """Yield the latest results of the checks of an account and day again."""
        partition_key = build_partition_key(partition)
        for check in self.context.selected_asset_check_keys:
            evaluation = _find_evaluation(self.context.instance, check, partition_key)
            if evaluation is not None:  # not as a blocking one: Dagster would fail the run for it
                yield dg.AssetCheckEvaluation(
                    check.asset_key,
                    check.name,
                    evaluation.passed,
                    metadata=evaluation.metadata,
                    severity=evaluation.severity,
                    description=evaluation.description,
                    partition=partition_key,
                )


def _find_materialization(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition_key: str
) -> dg.AssetMaterialization | None:
    only = dg.AssetRecordsFilter(key, asset_partitions=[partition_key])
    return next((record.asset_materialization for record in instance.fetch_materializations(only, 1).records), None)


def _find_evaluation(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition_key: str
) -> dg.AssetCheckEvaluation | None:
    # no public names; the storage of events imports what definitions do not need
    from dagster._core.event_api import PartitionKeyFilter
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    evaluated = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    history = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=evaluated, partition_filter=PartitionKeyFilter(key=partition_key)
    )
    return next((record.evaluation for record in history), None)
