"""The assets of the completion metrics, one per table, siblings of each other.

What belongs here: the Dagster face of `metrics/`.
"""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.metadata import table_spec, tell_account, tell_present
from lms_pipeline.defs.metrics_page import metric_figures
from lms_pipeline.defs.pages import published_metadata
from lms_pipeline.defs.partitions import account_days, partition_of
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS


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

        tell_present(context, settings)
        partition = partition_of(context)
        assert partition.account_id is not None  # noqa: S101 (every key has one)
        with told_to_people(context):
            _check_selection(context)
            name = tell_account(context, settings)
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
