"""The assets that a pull brings: five tables of one account and day, siblings of each other.

What belongs here: the Dagster face of `snapshot.py`.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.connection import Truto
from lms_pipeline.defs.failures import as_dagster_failure
from lms_pipeline.defs.metadata import (
    OWNERS,
    api_schema,
    file_metadata,
    metric_figures,
    published_metadata,
    pull_figures,
    table_spec,
    tag_account,
    tag_frozen_now,
)
from lms_pipeline.defs.partitions import account_days, partition_of
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import METRIC_TABLES, TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS

if TYPE_CHECKING:
    from lms_pipeline.snapshot.job import SnapshotJob, SnapshotResult

SOURCE = "truto"


def build_source(settings: Settings) -> dg.AssetSpec:
    """The API, from which all comes; where `LMS_NOW` stands for the present, its page says so."""
    now = settings.frozen_now
    return dg.AssetSpec(
        SOURCE,
        description="The Truto unified LMS API: course enrollments, users and courses of every integrated account, "
        "as they are now. It tells only the present."
        + (f"\n\n**LMS_NOW is set: {now.isoformat()} is taken for the present.**" if now else ""),
        group_name="pull",
        owners=OWNERS,
        kinds={"api"},
        metadata={
            "dagster/column_schema": api_schema(),
            "documentation": dg.MetadataValue.url("https://truto.one/docs"),
        },
    )


class PullConfig(dg.Config):
    """What a single run may be told."""

    allow_drop: bool = Field(
        default=False,
        description="Publish although more enrollments are missing than the account's max_drop: they are really gone.",
    )


def build_pull(settings: Settings) -> dg.AssetsDefinition:
    """The multi-asset; one run per account and day, also in a backfill."""

    @dg.multi_asset(
        name="pull",
        specs=[
            table_spec(table, group="pull", upstream=SOURCE, kinds={"truto", "parquet"})
            for table in PULLED_TABLES
        ],
        can_subset=True,
        partitions_def=account_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def pull(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        truto: dg.ResourceParam[Truto],
        lake: dg.ResourceParam[DataDir],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.snapshot.job import record_outcome
        from lms_pipeline.snapshot.run import take_snapshot

        tag_frozen_now(context, truto.settings)
        with as_dagster_failure(context):
            account = tag_account(context, truto.settings)
            job = _load_job(context, config, truto.settings)
            result = take_snapshot(
                job,
                connect=truto.connect,
                data=lake,
                calendar=truto.settings.calendar,
                now=truto.now,
                report_plan=context.log.info,
            )
            record_outcome(lake, job, result)
        if result.kept:
            context.log.info("The day is closed: it keeps its snapshot, and no call was made.")
        else:
            context.log.info("%d enrollments served, %d requests.", result.rows.served, result.requests)
        yield from _published(context, result, account)

    return pull


def _load_job(context: dg.AssetExecutionContext, config: PullConfig, settings: Settings) -> "SnapshotJob":
    from lms_pipeline.snapshot.job import SnapshotJob

    selected = frozenset(key.to_user_string() for key in context.selected_asset_keys)
    return SnapshotJob.load(
        settings, partition_of(context), context.run.run_id, tables=selected, allow_drop=config.allow_drop
    )


def _published(
    context: dg.AssetExecutionContext, result: "SnapshotResult", account: str
) -> Iterator[dg.MaterializeResult[Any]]:
    """The tables that were asked for; those published beside them, since one answer brings all, are told as well."""
    for published in result.published:
        key = dg.AssetKey(published.table.name)
        metadata = published_metadata(published, account, pull_figures(result, published))
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        elif not result.kept:
            beside = dg.AssetMaterialization(key, partition=context.partition_key, metadata=metadata)
            context.log_event(beside)


def build_metrics(settings: Settings) -> dg.AssetsDefinition:
    """The multi-asset: a partition is classified once for all of its tables."""

    @dg.multi_asset(
        name="metrics",
        specs=[
            table_spec(
                table, group="metrics", upstream=UNIFIED_ENROLLMENTS.name, kinds={"duckdb", "sql", "parquet"}
            )
            for table in METRIC_TABLES
        ],
        can_subset=True,
        partitions_def=account_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def metrics(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.metrics.completion import measure

        tag_frozen_now(context, settings)
        partition = partition_of(context)
        with as_dagster_failure(context):
            _check_selection(context)
            name = tag_account(context, settings)
            account = Registry(lake.registry).get(partition.account_id)
            # the first table's time is also that of classifying the enrollments for all of them
            started = time.monotonic()
            for published in measure(
                lake,
                [table for table in METRIC_TABLES if dg.AssetKey(table.name) in context.selected_asset_keys],
                partition,
                settings.calendar,
                integration=account.integration,
                run_id=context.run.run_id,
            ):
                figures = {"seconds": round(time.monotonic() - started, 3), **metric_figures(published)}
                metadata = published_metadata(published, name, figures)
                yield dg.MaterializeResult(asset_key=published.table.name, metadata=metadata)
                started = time.monotonic()

    return metrics


def _check_selection(context: dg.AssetExecutionContext) -> None:
    """Refuse a run that pulls enrollments, but without the table that says when the metrics may begin."""
    selected = {key.to_user_string() for key in context.run.asset_selection or ()}
    if selected & {"raw_enrollments", "rejected_enrollments"} and UNIFIED_ENROLLMENTS.name not in selected:
        raise WrongUseError(
            "Metrics can't tell whether the pull of the same run is over: select unified_enrollments too, which is "
            "pulled with the others anyway."
        )


@dg.asset(
    deps=list(TABLES),
    group_name="warehouse",
    owners=OWNERS,
    kinds={"duckdb"},
    description="One DuckDB file over the lake: a view for each pulled table, the metric tables stored in it. "
    "Built beside and swapped in, so that readers and runs never wait for each other; it can be thrown away.",
)
def warehouse(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
) -> dg.MaterializeResult[Any]:
    """Build it anew from what is published."""
    from lms_pipeline.lake.warehouse import build

    started = time.monotonic()
    with as_dagster_failure(context):
        rows = build(lake)
    context.log.info("The warehouse is at %s.", lake.warehouse)
    return dg.MaterializeResult(
        metadata={
            "seconds": round(time.monotonic() - started, 3),
            **{f"rows_{table}": count for table, count in rows.items()},
            "query": dg.MetadataValue.md('```sh\nlms-pipeline query "SHOW ALL TABLES"\n```'),
            **file_metadata(lake.warehouse),
        }
    )
