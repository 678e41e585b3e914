"""The assets: the source, the five pulled tables, the metric tables and the warehouse.

Belongs here: their Dagster definitions. What a run does for an account is in `account_steps.py`, the warehouse
in `lake/warehouse.py`.
"""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from lms_pipeline.connection import Truto
from lms_pipeline.defs.account_steps import AccountSteps, log_wait
from lms_pipeline.defs.asset_checks import build_snapshot_check_specs, check_latest
from lms_pipeline.defs.batch import Batch, BatchEvent
from lms_pipeline.defs.failures import CONTINUES_AT_TAG, StaleDaysError, convert_errors, find_interrupted_runs
from lms_pipeline.defs.metadata import (
    OWNERS,
    build_api_schema,
    build_file_metadata,
    build_table_spec,
    has_shown_rows,
    tag_account,
    tag_frozen_now,
)
from lms_pipeline.defs.partitions import build_account_days, has_partition, read_partition
from lms_pipeline.defs.portfolio import refresh_portfolio
from lms_pipeline.defs.ranges import is_range, read_partitions
from lms_pipeline.defs.roll_up import has_roll_ups, refresh_roll_ups
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import BY_DAY, METRIC_TABLES, TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS

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
    """Build the multi-asset of the pulled tables, the metric tables and their checks: one step does all of an account.

    A run of several accounts needs it: of a step, Dagster hands over to the next only what holds for all accounts.
    """
    pulled = [
        # skippable: a pull whose LMS allows no call for a while ends without a table
        build_table_spec(table, group="pull", upstream=SOURCE, kinds={"truto", "parquet"}, skippable=True)
        for table in PULLED_TABLES
    ]
    upstream, kinds = UNIFIED_ENROLLMENTS.name, {"duckdb", "sql", "parquet"}
    metrics = [
        build_table_spec(table, group="metrics", upstream=upstream, kinds=kinds, skippable=True)
        for table in METRIC_TABLES
    ]

    @dg.multi_asset(
        name="pull",
        specs=[*pulled, *metrics],
        check_specs=build_snapshot_check_specs(settings),
        can_subset=True,
        partitions_def=build_account_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.accounts_per_run),
    )
    def pull(
        context: dg.AssetExecutionContext,
        config: PullConfig,
        truto: dg.ResourceParam[Truto],
        lake: dg.ResourceParam[DataDir],
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult | BatchEvent]:
        tag_frozen_now(context, truto.settings)
        with convert_errors(context):
            if not context.selected_asset_keys and not has_partition(context.op_execution_context):
                yield from check_latest(settings, lake, context.selected_asset_check_keys)
            elif is_range(context.run.tags):
                partitions = read_partitions(context)
                yield from Batch(context, truto, lake, partitions, allow_drop=config.allow_drop).run()
            else:
                yield from _run_account(context, truto, lake, allow_drop=config.allow_drop)

    return pull


def _run_account(
    context: dg.AssetExecutionContext, truto: Truto, lake: DataDir, *, allow_drop: bool
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetMaterialization | dg.AssetCheckResult]:
    """Run the steps of the run's account and day, and yield their results; an event of each table that is not selected."""
    from lms_pipeline.truto.waiting import ContinuesLaterError

    partition = read_partition(context)
    steps = AccountSteps(
        context,
        truto,
        lake,
        partition,
        tag_account(context, truto.settings),
        allow_drop=allow_drop,
        interrupted_runs=find_interrupted_runs(context),
    )
    try:
        for event in steps.run():
            if isinstance(event, dg.AssetMaterialization) and event.asset_key in context.selected_asset_keys:
                yield dg.MaterializeResult(asset_key=event.asset_key, metadata=event.metadata)
            else:
                yield event
    except ContinuesLaterError:
        pull = log_wait(context, lake, partition, truto.settings.calendar.zone)
        if pull is not None:  # the run ends without a failure
            context.instance.add_run_tags(context.run.run_id, {CONTINUES_AT_TAG: pull.at.isoformat()})


def build_warehouse_asset(settings: Settings) -> dg.AssetsDefinition:
    """Build the asset of the warehouse, which first brings the portfolio up to date."""

    @dg.asset(
        deps=[*TABLES, BY_DAY],
        group_name="warehouse",
        owners=OWNERS,
        kinds={"duckdb"},
        description="One DuckDB file over the lake, with a view of each pulled table and a copy of each metric table. Each "
        "build writes a new file and swaps it in, so readers and builds do not block each other. It reads only the days that "
        "changed since the latest build. It can be deleted and rebuilt at any time. Before that, the days of "
        "portfolio_completion are computed whose accounts changed, and with LMS_ROLL_UP the days of by_day: then the file has "
        "views alone, over these.",
    )
    def warehouse(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.lake.warehouse import build_warehouse

        tag_frozen_now(context, settings)
        with convert_errors(context):
            failed = refresh_portfolio(context, lake, settings)
            is_rolled_up = has_roll_ups(settings, lake)
            stale = refresh_roll_ups(context, lake, settings) if is_rolled_up else []
            started = time.monotonic()
            built = build_warehouse(lake, is_rolled_up=is_rolled_up)
            context.log.info("The warehouse is at %s.", lake.describe(lake.warehouse))
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
                    **build_file_metadata(lake, lake.warehouse),
                }
            )
            if failed or stale:
                raise StaleDaysError(failed, stale)

    return warehouse
