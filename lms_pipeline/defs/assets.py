"""The assets that a pull brings: five tables of one account and day, siblings of each other.

What belongs here: the Dagster face of `snapshot.py`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from lms_pipeline.connection import Truto
from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.metadata import OWNERS, api_schema, table_spec, tell_account, tell_present
from lms_pipeline.defs.pages import published_metadata
from lms_pipeline.defs.partitions import account_days, partition_of
from lms_pipeline.defs.pull_page import pull_figures
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.snapshot.job import order_for, remember
from lms_pipeline.tables.pulled import PULLED_TABLES

if TYPE_CHECKING:
    from lms_pipeline.snapshot.job import Order, Report

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
        from lms_pipeline.snapshot.run import take_snapshot

        tell_present(context, truto.settings)
        with told_to_people(context):
            account = tell_account(context, truto.settings)
            order = _order(context, config, truto.settings, lake)
            report = take_snapshot(
                truto.connect, lake, truto.settings.calendar, truto.now, order, tell=context.log.info
            )
            remember(lake, order, report)
        if report.kept:
            context.log.info("The day is over and its grace too; its snapshot is kept, nothing was asked.")
        else:
            context.log.info("%d enrollments served, %d requests.", report.served, report.requests)
        yield from _published(context, report, account)

    return pull


def _order(
    context: dg.AssetExecutionContext, config: PullConfig, settings: Settings, data: DataDir
) -> "Order":
    partition = partition_of(context)
    assert partition.account_id is not None  # noqa: S101 (every key has one)
    selected = frozenset(key.to_user_string() for key in context.selected_asset_keys)
    return order_for(
        settings,
        data,
        partition.account_id,
        partition.day,
        context.run.run_id,
        tables=selected,
        allow_drop=config.allow_drop,
    )


def _published(
    context: dg.AssetExecutionContext, report: "Report", account: str
) -> Iterator[dg.MaterializeResult[Any]]:
    """The tables that were asked for; those published beside them, since one answer brings all, are told as well."""
    for published in report.published:
        key = dg.AssetKey(published.table.name)
        metadata = published_metadata(published, account, pull_figures(report, published))
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        elif not report.kept:
            beside = dg.AssetMaterialization(key, partition=context.partition_key, metadata=metadata)
            context.log_event(beside)
