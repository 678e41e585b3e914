"""The assets of the completion metrics, one per table.

What belongs here: the Dagster face of `metrics/`.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.defs.describing import published_metadata, table_spec
from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.partitions import account_days, partition_of
from lms_pipeline.enrollments.tables import UNIFIED_ENROLLMENTS
from lms_pipeline.lake.catalog import METRIC_TABLES
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.metrics.tables import ACCOUNT_COMPLETION, RATES
from lms_pipeline.registry import Registry
from lms_pipeline.schema import Table
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.lake.publishing import Published

HEADLINES = ("n_all", "n_completed", "learners", *(rate.name for rate in RATES))
"""What of an account is told as metadata."""


def build_metrics(settings: Settings) -> list[dg.AssetsDefinition]:
    """One asset for each table, over the enrollments of its own account and day."""
    return [_metric(settings, table) for table in METRIC_TABLES]


def _metric(settings: Settings, table: Table) -> dg.AssetsDefinition:
    spec = table_spec(
        table, group="metrics", deps=[UNIFIED_ENROLLMENTS.name], kinds={"duckdb", "sql", "parquet"}
    )

    @dg.multi_asset(
        name=table.name,
        specs=[spec],
        partitions_def=account_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def metric(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> dg.MaterializeResult[Any]:
        from lms_pipeline.measuring import measure

        partition = partition_of(context)
        assert partition.account_id is not None  # noqa: S101 (every key has one)
        with told_to_people():
            account = Registry(lake.registry).get(partition.account_id)
            published = measure(
                lake,
                table,
                partition,
                settings.calendar,
                integration=account.integration,
                run_id=context.run.run_id,
            )
        return dg.MaterializeResult(metadata=published_metadata(published, _headline(published)))

    return metric


def _headline(published: "Published") -> dict[str, Any]:
    """The rates of the account, which the UI plots over its days."""
    if published.table != ACCOUNT_COMPLETION:
        return {}
    from lms_pipeline.measuring import only_row

    row = only_row(published)
    return {name: row[name] for name in HEADLINES if row[name] is not None}
