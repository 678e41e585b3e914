"""The jobs and the daily schedule.

What belongs here: which assets run together, and when. Which accounts there are is the registry's to say.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._utils.schedules import is_valid_cron_schedule

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.connection import Truto
from lms_pipeline.defs.asset_checks import KEYS
from lms_pipeline.defs.event_log_sync import find_missing_events, tell
from lms_pipeline.defs.failures import as_dagster_failure
from lms_pipeline.defs.instance import MATERIALIZABLE
from lms_pipeline.defs.metadata import tag_frozen_now
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.defs.run_logs import LOCATION, old_run_logs
from lms_pipeline.defs.run_requests import (
    DAILY_SNAPSHOT,
    HOUSEKEEPING,
    JOB_NAMES,
    NO_DAY_IS_OPEN,
    REBUILD_WAREHOUSE,
    WATCH_FLEET,
    build_run_request,
    find_last_runs,
    is_missing,
    is_under_way,
)
from lms_pipeline.errors import SettingsError
from lms_pipeline.housekeeping.policy import ExpiredItem, format_totals, sum_by_kind
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def build_jobs() -> list["UnresolvedAssetJobDefinition"]:
    """`daily_snapshot` for one account and day, `rebuild_warehouse` for what is there."""
    daily = dg.define_asset_job(
        DAILY_SNAPSHOT,
        selection=[table.name for table in (*PULLED_TABLES, *METRIC_TABLES)],
        executor_def=dg.in_process_executor,
        description="Pull one account's day and work out its metrics.",
    )
    rebuild = dg.define_asset_job(
        REBUILD_WAREHOUSE,
        selection=["warehouse"],
        executor_def=dg.in_process_executor,
        description="Build the warehouse anew from the lake.",
    )
    return [daily, rebuild]


def build_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Once a day, a run for each active account, for the day that is open.

    Raises:
        SettingsError: LMS_SCHEDULE is no cron expression.
    """
    if not is_valid_cron_schedule(settings.schedule):
        raise SettingsError("LMS_SCHEDULE can't be used: it must be a cron expression, like '0 2 * * *'.")

    @dg.schedule(
        name=DAILY_SNAPSHOT,
        job_name=DAILY_SNAPSHOT,
        cron_schedule=settings.schedule,
        execution_timezone=settings.timezone,
        description="Asks for the latest ended day of every active account that lacks it, one run each.",
    )
    def daily_snapshot(
        context: dg.ScheduleEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = settings.calendar.find_open_day(truto.now())
        if day is None:
            return dg.SkipReason(NO_DAY_IS_OPEN)
        accounts = [account.id for account in Registry(lake.registry).read_active()]
        if not accounts:
            return dg.SkipReason("No account is active: run `lms-pipeline accounts sync`.")
        truto.check_token()
        add_accounts(context.instance, accounts)
        lacking = [Partition(account_id, day) for account_id in accounts if is_missing(lake, account_id, day)]
        if not lacking:
            return dg.SkipReason(f"All {len(accounts)} active accounts have their snapshot of {day}.")
        tick = context.scheduled_execution_time.isoformat()
        last = find_last_runs(context.instance, day)
        under_way = {account_id for account_id, record in last.items() if is_under_way(record)}
        return [build_run_request(one, tick) for one in lacking if one.account_id not in under_way]

    return daily_snapshot


def build_fleet_job() -> "UnresolvedAssetJobDefinition":
    """The checks alone."""
    return dg.define_asset_job(
        WATCH_FLEET,
        selection=dg.AssetSelection.checks(*KEYS),
        executor_def=dg.in_process_executor,
        description="Look for accounts and days that are missing.",
    )


def build_fleet_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Each hour: an account that is dead makes no noise of its own."""
    return dg.ScheduleDefinition(
        name=WATCH_FLEET,
        job_name=WATCH_FLEET,
        cron_schedule="15 * * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks for accounts and days that are missing, each hour.",
    )


DAILY = "30 1 * * *"
"""Half an hour before the pulls of the usual schedule, so that they find room."""


def due(settings: Settings, instance: dg.DagsterInstance, location: str = LOCATION) -> list[ExpiredItem]:
    """All that is past its time, in the data directory and in Dagster's log; nothing is changed.

    Raises:
        SettingsError: the options of accounts can't be read.
    """
    from lms_pipeline.housekeeping.cleanup import find_expired, load_policy

    rules = load_policy(settings)
    found = find_expired(DataDir(settings.data_dir), rules)
    if settings.run_log_days:
        before = rules.now - timedelta(days=settings.run_log_days)
        found += old_run_logs(
            instance, before, jobs=JOB_NAMES, assets=frozenset(MATERIALIZABLE), location=location
        )
    return found


def build_housekeeping(settings: Settings) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job `housekeeping` and its daily schedule.

    The schedule is on unless somebody turns it off: what is said to be kept for so many days mustn't wait for that.
    """

    @dg.op(description="Removes answers, payloads, leftovers and run logs that are past their time.")
    def remove_what_is_due(context: dg.OpExecutionContext, lake: dg.ResourceParam[DataDir]) -> None:
        from lms_pipeline.housekeeping.cleanup import remove

        tag_frozen_now(context, settings)
        with as_dagster_failure(context):
            origin = context.run.remote_job_origin
            found = due(settings, context.instance, origin.location_name if origin else LOCATION)
            removed = remove(lake, found, context.log.warning)
        context.log.info("Removed %s.", format_totals(removed))
        context.add_output_metadata(_counts(removed) | {"left": len(found) - len(removed)})

    @dg.op(
        description="Tells Dagster of published files that its log doesn't know of: all, where it was lost."
    )
    def tell_of_the_lake(context: dg.OpExecutionContext, lake: dg.ResourceParam[DataDir]) -> None:
        with as_dagster_failure(context):
            told = tell(context.instance, lake, find_missing_events(context.instance, lake))
        context.log.info("Told Dagster of %d files of the lake.", told)
        context.add_output_metadata({"told": told})

    @dg.job(
        name=HOUSEKEEPING,
        executor_def=dg.in_process_executor,
        description="Remove what is past its time, and tell Dagster of what it doesn't know of.",
    )
    def housekeeping() -> None:
        remove_what_is_due()
        tell_of_the_lake()

    schedule = dg.ScheduleDefinition(
        name=HOUSEKEEPING,
        job=housekeeping,
        cron_schedule=DAILY,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes what is past its time, once a day. See LMS_REJECTED_DAYS and LMS_RUN_LOG_DAYS.",
    )
    return housekeeping, schedule


def _counts(removed: list[ExpiredItem]) -> dict[str, Any]:
    """By kind, as numbers that the UI plots."""
    counts: dict[str, Any] = {}
    for kind, (count, size) in sum_by_kind(removed).items():
        counts |= {kind: count, f"bytes of {kind}": size}
    return counts
