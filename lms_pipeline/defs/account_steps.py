"""What a run does for one account and day: the pull, its checks, the metrics, their checks, in this order.

Belongs here: their events for Dagster. Not here: which accounts a run has (`assets.py`, `batch.py`), what the steps do
(`snapshot/`, `metrics/`, `checks/`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING

import dagster as dg

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.checks.base import Check, Subject
from lms_pipeline.connection import Truto
from lms_pipeline.defs.asset_checks import check_partition, select_metric_checks, select_pull_checks
from lms_pipeline.defs.metadata import build_published_metadata, build_pull_metadata
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.defs.shown_metadata import build_shown_metadata
from lms_pipeline.errors import format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.waiting import WaitingPull, read_waiting
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    from lms_pipeline.snapshot.job import SnapshotResult

AccountEvent = dg.AssetMaterialization | dg.AssetCheckResult
"""What the steps report. A materialization has its partition, a check result gets that of the run, or of the batch."""


@dataclass(frozen=True, slots=True)
class AccountSteps:
    """The steps of one account and day within a run."""

    context: dg.AssetExecutionContext
    truto: Truto
    lake: DataDir
    partition: Partition
    name: str
    """The account's display name."""
    allow_drop: bool = False
    interrupted_runs: frozenset[str] = frozenset()
    """The failed runs that this one repeats: what one of them has published is not pulled again."""
    has_pull: bool = True
    """Whether the selected tables of a pull are pulled; False if they are published."""
    leaves_out_checks: bool = False
    """Whether a check that has nothing to check in the account has no result."""
    is_logged: bool = True
    """Whether the run's log gets sentences about the pull. In a run of many accounts its metadata says enough."""

    @property
    def pulled(self) -> frozenset[str]:
        """The selected tables that a pull brings."""
        return find_pulled(self.context)

    def run(self) -> Iterator[AccountEvent]:
        """Do what is selected, and yield an event for each published table and each check.

        Raises:
            ContinuesLaterError: the LMS allows no call for a while; nothing was published.
            BlockedError: a blocking check failed; what comes after it was not done.
            LmsPipelineError: a step failed.
        """
        selected = self.context.selected_asset_check_keys
        is_pulled = bool(self.has_pull and self.pulled)
        if is_pulled:
            yield from self._pull()
        pull_checks, metric_checks = select_pull_checks(selected), select_metric_checks(selected)
        # a pull has fetched or published all of its tables, and these checks look at no others
        yield from self._check(pull_checks, () if is_pulled else PULLED_TABLES)
        computed: list[Table] = []
        yield from self._compute_metrics(computed)
        known = {*computed, *(PULLED_TABLES if is_pulled or pull_checks else ())}
        yield from self._check(metric_checks, [table for table in TABLES.values() if table not in known])

    def _pull(self) -> Iterator[dg.AssetMaterialization]:
        from lms_pipeline.snapshot import run
        from lms_pipeline.snapshot.job import SnapshotJob, record_outcome

        settings = self.truto.settings
        job = SnapshotJob.load(
            settings,
            self.partition,
            self.context.run.run_id,
            tables=self.pulled,
            allow_drop=self.allow_drop,
            interrupted_runs=self.interrupted_runs,
        )
        result = run.take_snapshot(
            job,
            connect=self.truto.connect,
            data=self.lake,
            calendar=settings.calendar,
            now=self.truto.now,
            report_plan=self.context.log.info if self.is_logged else run.log.info,
            checkpoint_seconds=settings.checkpoint_seconds,
        )
        record_outcome(self.lake, job, result)
        if self.is_logged:
            self.context.log.info("%s", _describe_pull(result))
        yield from self._report_pulled(result)

    def _report_pulled(self, result: SnapshotResult) -> Iterator[dg.AssetMaterialization]:
        """Yield an event for each table that was published, also for those that are not selected.

        One response fills all tables of enrollments, so a pull publishes all of them whichever is selected.
        """
        for published in result.published:
            if published.table.name in self.pulled or result.was_published or not result.kept:
                figures = build_pull_metadata(result, published)
                metadata = build_published_metadata(self.lake, published, self.name, figures, limit=1)
                yield dg.AssetMaterialization(
                    published.table.name, partition=build_partition_key(self.partition), metadata=metadata
                )

    def _compute_metrics(self, computed: list[Table]) -> Iterator[dg.AssetMaterialization]:
        """Compute the selected tables, add each to `computed`, and yield its event."""
        from lms_pipeline.metrics.completion import publish_metrics
        from lms_pipeline.metrics.options import MetricOptions

        tables = [table for table in METRIC_TABLES if dg.AssetKey(table.name) in self.context.selected_asset_keys]
        if not tables:
            return
        settings, partition = self.truto.settings, self.partition
        account = Registry(self.lake).get(partition.account_id)
        # the seconds of the first table include the classification for all
        started = time.monotonic()
        for published in publish_metrics(
            self.lake,
            tables,
            partition,
            settings.calendar,
            integration=account.integration,
            run_id=self.context.run.run_id,
            options=MetricOptions.load(settings, partition.account_id),
        ):
            computed.append(published.table)
            seconds = round(time.monotonic() - started, 3)
            figures = {"seconds": seconds, **build_shown_metadata(self.lake, published, settings.min_cohort)}
            metadata = build_published_metadata(self.lake, published, self.name, figures, settings.min_cohort)
            yield dg.AssetMaterialization(
                published.table.name, partition=build_partition_key(partition), metadata=metadata
            )
            started = time.monotonic()

    def _check(
        self, checks: Mapping[dg.AssetCheckKey, Check[Subject]], unfetched: Sequence[Table]
    ) -> Iterator[dg.AssetCheckResult]:
        if checks:
            yield from check_partition(
                self.truto.settings, self.lake, self.partition, checks, unfetched, leave_out=self.leaves_out_checks
            )


def log_wait(
    context: dg.AssetExecutionContext, lake: DataDir, partition: Partition, zone: tzinfo
) -> WaitingPull | None:
    """Say in the run's log when a pull continues that its LMS stopped, and return it; None if nothing is known of it."""
    pull = read_waiting(lake, partition)
    if pull is not None:
        context.log.info("%s: %s", partition, pull.describe(zone))
    return pull


def find_pulled(context: dg.AssetExecutionContext) -> frozenset[str]:
    """Return the selected tables that a pull brings."""
    return frozenset(table.name for table in PULLED_TABLES if dg.AssetKey(table.name) in context.selected_asset_keys)


def _describe_pull(result: SnapshotResult) -> str:
    """Return how the pull ended, as one sentence."""
    if result.was_published:
        return "An interrupted run had published this snapshot already; no request was sent."
    if result.kept:
        return "The day is closed and keeps its snapshot; no request was sent."
    served, requests = format_count(result.rows.served, "enrollment"), format_count(result.requests, "request")
    return f"{served} served, {requests}."
