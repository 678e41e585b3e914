"""The asset of the roll-ups, one partition a day, and their refresh after the days of accounts changed.

Belongs here: Dagster's part of it, and whether there are roll-ups. Not here: writing them (`lake/roll_up.py`).
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.defs.failures import convert_errors
from lms_pipeline.defs.metadata import OWNERS, has_shown_rows, tag_frozen_now
from lms_pipeline.defs.partitions import build_days, build_same_day_mapping, read_day
from lms_pipeline.errors import LmsPipelineError, format_count
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.roll_up_reading import list_rolled_up_tables
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import BY_DAY

if TYPE_CHECKING:
    from lms_pipeline.lake.roll_up import RolledDay

MAX_ACCOUNTS_WITHOUT = 500
"""Accounts up to which `LMS_ROLL_UP=auto` means no roll-ups: a query over their files is fast enough."""


def build_by_day(settings: Settings) -> dg.AssetsDefinition:
    """Build the asset of the roll-ups. A day depends on the same day of every account."""
    same_day = build_same_day_mapping()
    spec = dg.AssetSpec(
        BY_DAY,
        deps=[dg.AssetDep(table.name, partition_mapping=same_day) for table in list_rolled_up_tables()],
        group_name="warehouse",
        owners=OWNERS,
        kinds={"parquet"},
        description="Of each table and day one Parquet file over all accounts, for fast queries over many accounts. Derived "
        "from the files of the accounts: it can be deleted at any time. With LMS_ROLL_UP, each build of the warehouse first "
        "writes the days whose accounts changed.",
    )

    @dg.multi_asset(
        name=BY_DAY,
        specs=[spec],
        partitions_def=build_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def by_day(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.lake.roll_up import roll_up_day

        tag_frozen_now(context, settings)
        with convert_errors(context):
            rolled = roll_up_day(lake, read_day(context))
            for reason in rolled.left_out:
                context.log.warning("Left out of the roll-ups: %s", reason)
            yield dg.MaterializeResult(asset_key=BY_DAY, metadata=_build_metadata(rolled, settings))

    return by_day


def has_roll_ups(settings: Settings, lake: DataDir) -> bool:
    """Return whether builds of the warehouse write roll-ups, and read them instead of the files of accounts.

    With a bucket they do: a query over one object for each account takes minutes. Without a registry that can be read, it
    stays as it was.
    """
    if not lake.store.is_local:
        return True
    if settings.roll_up != "auto":
        return settings.roll_up == "on"
    try:
        return len(Registry(lake).read_accounts()) > MAX_ACCOUNTS_WITHOUT
    except LmsPipelineError:  # the run says so when it computes the portfolio
        return lake.roll_ups.exists()


def refresh_roll_ups(context: dg.AssetExecutionContext, lake: DataDir, settings: Settings) -> list[LmsPipelineError]:
    """Roll up the days whose accounts changed, and log the materialization of each that Dagster lists.

    A day that can't be rolled up does not stop the others. Return what failed.
    """
    from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day

    failed: list[LmsPipelineError] = []
    outdated, first = find_outdated_days(lake), find_first_day(settings)
    for day in outdated:
        try:
            rolled = roll_up_day(lake, day)
        except LmsPipelineError as error:
            context.log.error("%s", error)  # noqa: TRY400 - the sentence is enough
            failed.append(error)
            continue
        if rolled.written and day >= first:  # Dagster does not list the others
            _log_event(context, settings, day, rolled)
    if outdated:
        context.log.info("%s of the roll-ups changed.", format_count(len(outdated), "day"))
    return failed


def _log_event(context: dg.AssetExecutionContext, settings: Settings, day: date, rolled: "RolledDay") -> None:
    """Log the materialization that a run of the asset itself would."""
    metadata = _build_metadata(rolled, settings)
    context.log_event(dg.AssetMaterialization(BY_DAY, partition=day.isoformat(), metadata=metadata))


def _build_metadata(rolled: "RolledDay", settings: Settings) -> dict[str, Any]:
    return {
        "accounts": rolled.accounts,
        "digest": rolled.digest,
        "written": len(rolled.written),
        "left_out": len(rolled.left_out),
        **{f"rows_{table}": rows for table, rows in rolled.rows.items() if has_shown_rows(table, settings.min_cohort)},
    }
