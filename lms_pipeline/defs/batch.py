"""A run of several accounts: one after the other, each with events of its own. The failure of one does not stop the next.

Belongs here: which accounts of the range are skipped, and what a retry knows of the runs before it. Not here: the steps of an
account (`account_steps.py`), which ranges are requested (`run_requests.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from lms_pipeline.accounts.names import load_display_names
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.checks.base import Check, Subject
from lms_pipeline.connection import Truto
from lms_pipeline.defs.account_failures import AccountFailure, AccountsFailedError
from lms_pipeline.defs.account_steps import AccountSteps, find_pulled, log_wait
from lms_pipeline.defs.asset_checks import build_evaluation, check_partition, select_optional_checks
from lms_pipeline.defs.earlier_runs import EarlierRuns, find_evaluation, find_materialization
from lms_pipeline.defs.failures import RETRY_NUMBER_TAG
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.errors import LakeError, LmsPipelineError
from lms_pipeline.lake.lock import LockedError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.waiting import read_waiting, utc_now
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.pulled import COURSES, LEARNERS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

BatchEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetObservation
"""What is yielded: an output, like a `MaterializeResult`, would be one of all partitions of the range."""
LISTS = {table.name: table for table in (LEARNERS, COURSES)}
"""The tables that are pulled without the enrollments if they alone are selected."""
PUBLISHED = "is published"
"""Why an account and day is skipped that another run has published."""


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

    @cached_property
    def _optional(self) -> Mapping[dg.AssetCheckKey, Check[Subject]]:
        """The selected checks that may have nothing to check in an account."""
        return select_optional_checks(self.context.selected_asset_check_keys)

    @cached_property
    def _left_out(self) -> dict[Partition, list[dg.AssetCheckKey]]:
        """The checks of each account and day that had nothing to check, so that they have no result."""
        return {}

    @cached_property
    def _footers(self) -> dict[tuple[str, Partition], Mapping[str, str]]:
        """The metadata of published files of the account that is run now, by table: in a bucket each look is two requests."""
        return {}

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
            yield from self._evaluate_left_out()
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
        self._footers.clear()  # what was seen before the accounts that ran first
        try:
            reason = self._find_skip_reason(partition)
            results = {} if reason is None else self._find_results(partition)
            if reason is None or (reason == PUBLISHED and self._lacks_results(results)):
                yield from self._run_steps(partition)
            else:
                log.info("%s is skipped: it %s.", partition, reason)
                yield from self._repeat_events(partition, self.context.selected_asset_keys)
                yield from self._repeat_results(partition, results)
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
        """Run the steps of an account and day, without the pull if another run has published it.

        A check that has nothing to check in the account has no result, unless an earlier run may have left one.
        """
        is_published, was_published = self._is_published(partition), self._find_publisher(partition) is not None
        if is_published:
            self.context.log.info("%s is published without all metrics and checks: they are run.", partition)
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
            leaves_out_checks=not was_published,
        )
        checked: set[dg.AssetCheckKey] = set()
        for event in steps.run():
            if isinstance(event, dg.AssetMaterialization):
                yield event
            else:
                evaluation = build_evaluation(event, build_partition_key(partition))
                checked.add(evaluation.asset_check_key)
                yield evaluation
        self._left_out[partition] = [key for key in self._optional if key not in checked]

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
        return PUBLISHED if self._is_published(partition) and self._has_metrics(partition) else None

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

    def _read_metadata(self, table: Table, partition: Partition) -> Mapping[str, str]:
        """Return the metadata of a published file; empty if there is none, or it is damaged: then a new one repairs it.

        Raises:
            StoreError: the store can't be used.
        """
        from lms_pipeline.lake.stored_footers import read_stored_metadata

        key = (table.name, partition)
        if key not in self._footers:
            try:
                found = read_stored_metadata(self.lake.store, self.lake.get_key(self.lake.file(table, partition)))
            except LakeError:
                found = None
            self._footers[key] = found or {}
        return self._footers[key]

    def _find_publisher(self, partition: Partition) -> str | None:
        """Return the run that published what would be pulled; None if something of it is missing."""
        tables = self._pulled if self._pulled and self._pulled <= LISTS.keys() else {UNIFIED_ENROLLMENTS.name}
        publishers = [self._read_metadata(TABLES[name], partition).get("run_id") for name in tables]
        return publishers[0] if None not in publishers else None

    def _is_done(self, partition: Partition) -> bool:
        """Return whether the runs before this one recorded all that is selected for an account and day."""
        recorded = self._earlier.recorded.get(str(build_partition_key(partition)), frozenset())
        return self._selected - self._optional.keys() <= recorded

    def _report_wait(self, partition: Partition) -> Iterator[dg.AssetObservation]:
        """Say when the pull of an account continues: in the log, and on its page."""
        zone = self.truto.settings.calendar.zone
        waiting = log_wait(self.context, self.lake, partition, zone)
        if waiting is not None:
            yield dg.AssetObservation(
                self._asset_of_failures,
                description=waiting.describe(zone),
                partition=build_partition_key(partition),
                metadata={"continues_at": dg.MetadataValue.timestamp(waiting.at)},
            )

    def _repeat_events(self, partition: Partition, keys: Iterable[dg.AssetKey]) -> Iterator[dg.AssetMaterialization]:
        """Yield the latest events of tables of an account and day again.

        Dagster expects events of each partition of a run, and would show the account as failed if the run fails.
        """
        partition_key = build_partition_key(partition)
        for key in keys:
            stored = find_materialization(self.context.instance, key, partition_key)
            if stored is not None:
                yield dg.AssetMaterialization(key, partition=partition_key, metadata=stored.metadata)

    def _find_results(self, partition: Partition) -> dict[dg.AssetCheckKey, dg.AssetCheckEvaluation]:
        """Return the latest result of each selected check of an account and day that has one."""
        instance, partition_key = self.context.instance, build_partition_key(partition)
        found = {key: find_evaluation(instance, key, partition_key) for key in self.context.selected_asset_check_keys}
        return {key: evaluation for key, evaluation in found.items() if evaluation is not None}

    def _lacks_results(self, results: Collection[dg.AssetCheckKey]) -> bool:
        """Return whether a selected check has no result although it always has something to check."""
        return any(key not in results for key in self.context.selected_asset_check_keys if key not in self._optional)

    def _repeat_results(
        self, partition: Partition, results: Mapping[dg.AssetCheckKey, dg.AssetCheckEvaluation]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        """Yield the latest results of the checks of an account and day again."""
        self._left_out[partition] = [key for key in self._optional if key not in results]
        for check, evaluation in results.items():
            yield dg.AssetCheckEvaluation(  # not as a blocking one: Dagster would fail the run for it
                check.asset_key,
                check.name,
                evaluation.passed,
                metadata=evaluation.metadata,
                severity=evaluation.severity,
                description=evaluation.description,
                partition=build_partition_key(partition),
            )

    def _evaluate_left_out(self) -> Iterator[dg.AssetCheckEvaluation]:
        """Yield the results that were left out: Dagster shows a check of a failed run without a result as failed."""
        for partition, keys in self._left_out.items():
            checks = {key: self._optional[key] for key in keys}
            with suppress(LmsPipelineError):  # such as an account that has nothing to check
                for result in check_partition(self.truto.settings, self.lake, partition, checks):
                    yield build_evaluation(result, build_partition_key(partition))
