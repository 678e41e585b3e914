"""The assets: the source, the five pulled tables, the metric tables and the warehouse.

Belongs here: their Dagster definitions. What they run is in `snapshot/`, `metrics/` and `lake/warehouse.py`.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.connection import Truto
from lms_pipeline.defs.failures import CONTINUES_AT_TAG, convert_errors, find_interrupted_runs
from lms_pipeline.defs.metadata import (
    OWNERS,
    build_api_schema,
    build_file_metadata,
    build_published_metadata,
    build_pull_metadata,
    build_table_spec,
    has_shown_rows,
    tag_account,
    tag_frozen_now,
)
from lms_pipeline.defs.partitions import build_account_days, read_partition
from lms_pipeline.defs.portfolio import StalePortfolioError, refresh_portfolio
from lms_pipeline.defs.shown_metadata import build_shown_metadata
from lms_pipeline.errors import WrongUseError, format_count
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS

if TYPE_CHECKING:
    from lms_pipeline.snapshot.job import SnapshotResult

SOURCE = "truto"


def build_source(settings: Settings) -> dg.AssetSpec:
    """Build the external asset for the API. Its description says so if `LMS_NOW` is set."""
    now = settings.frozen_now
    warning = f"\n\n**LMS_NOW is set: {now.isoformat()} is used as the current time.**" if now else ""
    return dg.AssetSpec(
        SOURCE,
        description="The Truto unified LMS API: course enrollments, users and courses of every integrated account. "
        f"It returns the current state only, no history.{warning}",
        group_name="pull",
        owners=OWNERS,
        kinds={"api"},
        metadata={
            "dagster/column_schema": build_api_schema(),
            "documentation": dg.MetadataValue.url("https://truto.one/docs"),
        },
    )


class PullConfig(dg.Config):
    """Run configuration of `pull`."""

    allow_drop: bool = Field(
        default=False,
        description="Publish although more enrollments are missing than the account's max_drop allows. Set it for one "
        "run, if they really are gone.",
    )


def build_pull(settings: Settings) -> dg.AssetsDefinition:
    """Build the multi-asset of the pulled tables. A backfill makes one run for each account and day."""

    @dg.multi_asset(
        name="pull",
        specs=[
            # skippable: a pull whose LMS allows no call for a while ends without a table, and the metrics are skipped
            build_table_spec(table, group="pull", upstream=SOURCE, kinds={"truto", "parquet"}, skippable=True)
            for table in PULLED_TABLES
        ],
        can_subset=True,
        partitions_def=build_account_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def pull(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        truto: dg.ResourceParam[Truto],
        lake: dg.ResourceParam[DataDir],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.snapshot.job import SnapshotJob, record_outcome
        from lms_pipeline.snapshot.run import take_snapshot
        from lms_pipeline.truto.waiting import ContinuesLaterError

        tag_frozen_now(context, truto.settings)
        with convert_errors(context):
            account = tag_account(context, truto.settings)
            selected = frozenset(key.to_user_string() for key in context.selected_asset_keys)
            partition, run_id = read_partition(context), context.run.run_id
            job = SnapshotJob.load(
                truto.settings,
                partition,
                run_id,
                tables=selected,
                allow_drop=config.allow_drop,
                interrupted_runs=find_interrupted_runs(context),
            )
            try:
                result = take_snapshot(
                    job,
                    connect=truto.connect,
                    data=lake,
                    calendar=truto.settings.calendar,
                    now=truto.now,
                    report_plan=context.log.info,
                )
            except ContinuesLaterError:
                _report_wait(context, lake, truto.settings)
                return
            record_outcome(lake, job, result)
        if result.was_published:
            context.log.info("An interrupted run had published this snapshot already; no request was sent.")
        elif result.kept:
            context.log.info("The day is closed and keeps its snapshot; no request was sent.")
        else:
            served, requests = format_count(result.rows.served, "enrollment"), format_count(result.requests, "request")
            context.log.info("%s served, %s.", served, requests)
        yield from _report_tables(context, result, account)

    return pull


def _report_wait(context: dg.AssetExecutionContext, lake: DataDir, settings: Settings) -> None:
    """Say in the log and the tags of the run when the pull continues. The run ends without a failure."""
    from lms_pipeline.lake.waiting import read_waiting

    pull = read_waiting(lake, read_partition(context))
    if pull is not None:
        context.log.info("%s", pull.describe(settings.calendar.zone))
        context.instance.add_run_tags(context.run.run_id, {CONTINUES_AT_TAG: pull.at.isoformat()})


def _report_tables(
    context: dg.AssetExecutionContext, result: "SnapshotResult", account: str
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield the results of the selected tables; log a materialization of each table published beside them.

    One response fills all tables of enrollments, so a pull publishes all of them whichever is selected.
    """
    for published in result.published:
        key = dg.AssetKey(published.table.name)
        metadata = build_published_metadata(published, account, build_pull_metadata(result, published), limit=1)
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        elif result.was_published or not result.kept:
            context.log_event(dg.AssetMaterialization(key, partition=context.partition_key, metadata=metadata))


def build_metrics(settings: Settings) -> dg.AssetsDefinition:
    """Build the multi-asset of the metric tables: the enrollments are classified once for all of them."""

    @dg.multi_asset(
        name="metrics",
        specs=[
            build_table_spec(
                table, group="metrics", upstream=UNIFIED_ENROLLMENTS.name, kinds={"duckdb", "sql", "parquet"}
            )
            for table in METRIC_TABLES
        ],
        can_subset=True,
        partitions_def=build_account_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def metrics(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.metrics.completion import publish_metrics
        from lms_pipeline.metrics.options import MetricOptions

        tag_frozen_now(context, settings)
        with convert_errors(context):
            partition = read_partition(context)
            _check_selection(context)
            name = tag_account(context, settings)
            account = Registry(lake.registry).get(partition.account_id)
            # the seconds of the first table include the classification for all
            started = time.monotonic()
            for published in publish_metrics(
                lake,
                [table for table in METRIC_TABLES if dg.AssetKey(table.name) in context.selected_asset_keys],
                partition,
                settings.calendar,
                integration=account.integration,
                run_id=context.run.run_id,
                options=MetricOptions.load(settings, partition.account_id),
            ):
                figures = {
                    "seconds": round(time.monotonic() - started, 3),
                    **build_shown_metadata(lake, published, settings.min_cohort),
                }
                metadata = build_published_metadata(published, name, figures, settings.min_cohort)
                yield dg.MaterializeResult(asset_key=published.table.name, metadata=metadata)
                started = time.monotonic()

    return metrics


def _check_selection(context: dg.AssetExecutionContext) -> None:
    """Refuse a run that pulls enrollments without the table on which the metrics depend: nothing would order the two.

    Raises:
        WrongUseError: `unified_enrollments` is not selected beside its siblings.
    """
    selected = {key.to_user_string() for key in context.run.asset_selection or ()}
    if selected & {"raw_enrollments", "rejected_enrollments"} and UNIFIED_ENROLLMENTS.name not in selected:
        raise WrongUseError(
            "The metrics would not wait for the pull of the same run: select unified_enrollments too, which the pull "
            "publishes anyway."
        )


def build_warehouse_asset(settings: Settings) -> dg.AssetsDefinition:
    """Build the asset of the warehouse, which first brings the portfolio up to date."""

    @dg.asset(
        deps=list(TABLES),
        group_name="warehouse",
        owners=OWNERS,
        kinds={"duckdb"},
        description="One DuckDB file over the lake, with a view of each pulled table and a copy of each metric table. Each "
        "build writes a new file and swaps it in, so readers and builds do not block each other. It reads only the days that "
        "changed since the latest build. It can be deleted and rebuilt at any time. Before that, the days of "
        "portfolio_completion are computed whose accounts changed.",
    )
    def warehouse(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.lake.warehouse import build_warehouse

        with convert_errors(context):
            failed = refresh_portfolio(context, lake, settings)
            started = time.monotonic()
            built = build_warehouse(lake)
            context.log.info("The warehouse is at %s.", lake.warehouse)
            for reason in built.left_out:
                context.log.warning("Left out of the warehouse: %s", reason)
            yield dg.MaterializeResult(
                metadata={
                    "seconds": round(time.monotonic() - started, 3),
                    "left_out": len(built.left_out),
                    **{
                        f"rows_{table}": count
                        for table, count in built.rows.items()
                        if has_shown_rows(table, settings.min_cohort)
                    },
                    "query": dg.MetadataValue.md('```sh\nlms-pipeline query "SHOW ALL TABLES"\n```'),
                    **build_file_metadata(lake.warehouse),
                }
            )
            if failed:
                raise StalePortfolioError(f"The portfolio is not up to date: {failed[0]}")

    return warehouse
