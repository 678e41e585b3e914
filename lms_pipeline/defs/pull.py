"""The assets that a pull brings: five tables of one account and day, siblings of each other.

What belongs here: the Dagster face of `snapshot.py`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from lms_pipeline.connection import Truto
from lms_pipeline.defs.describing import OWNERS, published_metadata, table_spec, tell_present
from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.partitions import account_days, partition_of
from lms_pipeline.enrollments.tables import PULLED_TABLES
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.ordering import order_for, remember
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.taking.order import Order, Report

SOURCE = dg.AssetSpec(
    "truto",
    description="The Truto unified LMS API: course enrollments, users and courses of every integrated account, "
    "as they are now. It tells only the present.",
    group_name="pull",
    owners=OWNERS,
    kinds={"api"},
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
            table_spec(table, group="pull", deps=["truto"], kinds={"truto", "parquet"})
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
        from lms_pipeline.snapshot import take_snapshot

        tell_present(context, truto.settings)
        with told_to_people(context):
            order = _order(context, config, truto.settings, lake)
            report = take_snapshot(
                truto.connect, lake, truto.settings.calendar, truto.now, order, tell=context.log.info
            )
            remember(lake, order, report)
        if report.kept:
            context.log.info("The day is over and its grace too; its snapshot is kept, nothing was asked.")
        else:
            context.log.info("%d enrollments served, %d requests.", report.served, report.requests)
        yield from _published(context, report)

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


def _published(context: dg.AssetExecutionContext, report: "Report") -> Iterator[dg.MaterializeResult[Any]]:
    """The tables that were asked for; those published beside them, since one answer brings all, are told as well."""
    for published in report.published:
        key = dg.AssetKey(published.table.name)
        metadata = published_metadata(published, report_metadata(report, published.table.name))
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        elif not report.kept:
            beside = dg.AssetMaterialization(key, partition=context.partition_key, metadata=metadata)
            context.log_event(beside)


def report_metadata(report: "Report", table: str) -> dict[str, Any]:
    """What the pull tells of a table."""
    if report.kept:
        return {"kept": True}
    told: dict[str, Any] = {
        "kept": False,
        "complete": report.complete,
        "strategy": report.strategy,
        "why": report.why,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
    }
    if table == "unified_enrollments":
        rows = report.served + report.carried + report.roster
        told |= {
            "served": report.served,
            "repaired_pages": report.repaired_pages,
            "rejected": report.rejected,
            "carried": report.carried,
            "roster": report.roster,
            "share_carried": round(report.carried / rows, 4) if rows else 0.0,
            "oldest_fetch": report.oldest_fetch and dg.MetadataValue.timestamp(report.oldest_fetch),
            "calls_saved": report.carried,
            "not_enrolled": report.not_enrolled,
            "gone": report.gone,
            "unusable_entries": report.unusable,
            "carry_asked": report.carry_asked,
            "carry_differing": report.carry_differing,
            "planned": dict(report.planned),
            "duplicates": report.duplicates.total,
            "duplicates_identical": report.duplicates.identical,
            "duplicates_conflicting": report.duplicates.conflicting,
            "undocumented_statuses": dict(report.undocumented_statuses),
            "read_leniently": 0,
        }
    return told | report.reading.get(table, {})
