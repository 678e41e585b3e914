"""The jobs and their schedules: the daily snapshot, the warehouse, the fleet checks, housekeeping.

Belongs here: which assets run together, and when. Runs requested by events are in `sensors.py`.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING

import dagster as dg

# no public name: the ticks of a cron expression as the daemon finds them, also on days when the clocks change
from dagster._utils.schedules import schedule_execution_time_iterator

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.connection import Truto
from lms_pipeline.days import Calendar
from lms_pipeline.defs.asset_checks import FLEET_CHECK_KEYS
from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
from lms_pipeline.defs.failures import convert_errors
from lms_pipeline.defs.metadata import tag_frozen_now
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.defs.report import COMPLETION_REPORT
from lms_pipeline.defs.run_locks import find_ended_run_locks
from lms_pipeline.defs.run_logs import DEFAULT_LOCATION, find_expired_run_logs
from lms_pipeline.defs.run_requests import (
    COMPUTE_PORTFOLIO,
    DAILY_SNAPSHOT,
    HOUSEKEEPING,
    JOB_NAMES,
    REBUILD_WAREHOUSE,
    ROLL_UP_DAY,
    WATCH_FLEET,
    build_run_requests,
    find_expected,
    find_latest_runs,
    find_missing_snapshots,
    find_open_day,
    is_active,
)
from lms_pipeline.errors import SettingsError, choose_form
from lms_pipeline.housekeeping.policy import ExpiredItem, format_totals, sum_by_kind
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import MAX_GRACE_HOURS, Settings
from lms_pipeline.tables.catalog import BY_DAY, MATERIALIZABLE_ASSETS, METRIC_TABLES
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import PULLED_TABLES

if TYPE_CHECKING:
    # no public name for what `define_asset_job` returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

FLEET_CRON = "15 * * * *"
HOUSEKEEPING_CRON = "30 1 * * *"
"""Half an hour before the default of LMS_SCHEDULE, so that the pulls find the space that it frees."""

OUR_ASSETS = frozenset({*MATERIALIZABLE_ASSETS, COMPLETION_REPORT})
"""The assets whose runs leave logs that expire."""
SCHEDULE_LOOKAHEAD = timedelta(days=366)
"""Time for which the ticks of LMS_SCHEDULE are compared with LMS_GRACE_HOURS: a year has each weekday and clock change."""


def build_jobs() -> list["UnresolvedAssetJobDefinition"]:
    """Build `daily_snapshot` for some accounts and a day, and the jobs over all accounts."""
    daily = dg.define_asset_job(
        DAILY_SNAPSHOT,
        selection=[table.name for table in (*PULLED_TABLES, *METRIC_TABLES)],
        executor_def=dg.in_process_executor,
        description="Pulls the tables of an account and day, checks them, and computes the metrics; of one account after the "
        "other, if the run has several.",
    )
    rebuild = dg.define_asset_job(
        REBUILD_WAREHOUSE,
        selection=["warehouse"],
        executor_def=dg.in_process_executor,
        description="Brings the portfolio, and then the DuckDB warehouse, up to date with the lake.",
    )
    portfolio = dg.define_asset_job(
        COMPUTE_PORTFOLIO,
        selection=[PORTFOLIO_COMPLETION.name],
        executor_def=dg.in_process_executor,
        description="Computes the portfolio of one day again, and checks it. Days that changed are also computed by "
        f"{REBUILD_WAREHOUSE}.",
    )
    roll_up = dg.define_asset_job(
        ROLL_UP_DAY,
        selection=[BY_DAY],
        executor_def=dg.in_process_executor,
        description=f"Writes the roll-ups of one day. With LMS_ROLL_UP, days that changed are also written by {REBUILD_WAREHOUSE}.",
    )
    watch = dg.define_asset_job(
        WATCH_FLEET,
        selection=dg.AssetSelection.checks(*FLEET_CHECK_KEYS),
        executor_def=dg.in_process_executor,
        description="Checks all accounts for missing days and lost connections.",
    )
    return [daily, portfolio, roll_up, rebuild, watch]


def build_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Build the schedule `daily_snapshot`: it requests runs of the active accounts that lack the open day.

    Raises:
        SettingsError: LMS_SCHEDULE is not a cron expression, or LMS_GRACE_HOURS is over at one of its ticks.
    """
    check_schedule(settings)

    @dg.schedule(
        name=DAILY_SNAPSHOT,
        job_name=DAILY_SNAPSHOT,
        cron_schedule=settings.schedule,
        execution_timezone=settings.timezone,
        description="Requests the runs of the active accounts that have no snapshot of the latest ended day, of "
        "LMS_ACCOUNTS_PER_RUN accounts each.",
    )
    def daily_snapshot(
        context: dg.ScheduleEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = find_open_day(settings, truto.now())
        if isinstance(day, dg.SkipReason):
            return day
        # while the daemon was off; no partition of the day existed then
        if context.scheduled_execution_time < settings.calendar.ends_at(day):
            return dg.SkipReason(f"This tick was missed, and {day} had not ended then: a later tick requests it.")
        accounts = [account.id for account in Registry(lake).read_active()]
        if not accounts:
            return dg.SkipReason("No account is active: run `lms-pipeline accounts sync`.")
        add_accounts(context.instance, accounts)
        missing = find_missing_snapshots(lake, day, accounts)
        if not missing:
            have = choose_form(
                len(accounts), "The active account has its", f"All {len(accounts)} active accounts have their"
            )
            return dg.SkipReason(f"{have} snapshot of {day}.")
        tick = context.scheduled_execution_time.isoformat()
        account_ids = [partition.account_id for partition in missing]
        latest, expected = find_latest_runs(context.instance, day, account_ids), find_expected(lake, day)
        active = {account_id for account_id, record in latest.items() if is_active(record)}
        requested = [one for one in missing if one.account_id not in active and one not in expected]
        if not requested:
            runs = f"The runs of {len(missing)} accounts are active, or wait for their LMS."
            return dg.SkipReason(
                choose_form(len(missing), "The run of 1 account is active, or waits for its LMS.", runs)
            )
        truto.check_token()
        return build_run_requests(context.instance, dict.fromkeys(requested, tick), settings.accounts_per_run)

    return daily_snapshot


def check_schedule(settings: Settings) -> None:
    """Refuse a schedule that has no open day at its first tick of any day within the next year.

    The first tick of a day is the nearest one to the midnight after which a day is open: later ones may come late.

    Raises:
        SettingsError: LMS_SCHEDULE is no cron expression; or with the tick that is the latest, and what to do.
    """
    calendar = settings.calendar
    try:
        dg.ScheduleDefinition(job_name=DAILY_SNAPSHOT, cron_schedule=settings.schedule)
        ticks = list(_find_first_ticks(settings))
    except (dg.DagsterInvalidDefinitionError, ValueError) as error:  # such as the 31st of April
        raise SettingsError("LMS_SCHEDULE can't be used: it must be a cron expression, like '0 2 * * *'.") from error
    late = [(_measure_lateness(calendar, tick), tick) for tick in ticks if calendar.find_open_day(tick) is None]
    if not late:
        return
    lateness, tick = max(late, key=itemgetter(0))
    hours = lateness / timedelta(hours=1)
    enough = f"above {math.ceil(hours * 100) / 100:g}" if hours < MAX_GRACE_HOURS else f"to {MAX_GRACE_HOURS}"
    raise SettingsError(
        f"LMS_GRACE_HOURS can't be used: no day is open any more when LMS_SCHEDULE '{settings.schedule}' ticks at "
        f"{tick.astimezone(calendar.zone):%Y-%m-%d %H:%M}, so that nothing would be pulled; set LMS_GRACE_HOURS "
        f"{enough}, or let LMS_SCHEDULE tick earlier."
    )


def _measure_lateness(calendar: Calendar, tick: datetime) -> timedelta:
    """Return the grace period that a tick needs: the time since midnight, by the clock on the wall if that is more."""
    midnight = calendar.ends_at(calendar.find_latest_ended(tick))
    shown, shown_midnight = (time.astimezone(calendar.zone).replace(tzinfo=None) for time in (tick, midnight))
    return max(shown - shown_midnight, tick - midnight)


def _find_first_ticks(settings: Settings) -> Iterator[datetime]:
    """Yield the first tick of each day that has one, in UTC, for a year: clock changes move them."""
    calendar = settings.calendar
    day = settings.now().astimezone(calendar.zone).date()
    end = day + SCHEDULE_LOOKAHEAD
    while day < end:
        start = calendar.ends_at(day - timedelta(days=1)).timestamp()
        tick = next(schedule_execution_time_iterator(start, settings.schedule, settings.timezone))
        yield tick.astimezone(UTC)
        day = tick.date() + timedelta(days=1)


def build_fleet_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Build the hourly schedule `watch_fleet`. It is on by default: an account without runs causes no failure."""
    return dg.ScheduleDefinition(
        name=WATCH_FLEET,
        job_name=WATCH_FLEET,
        cron_schedule=FLEET_CRON,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Checks all accounts for missing days and lost connections, each hour.",
    )


def build_housekeeping(settings: Settings) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """Build the job `housekeeping` and its daily schedule.

    The schedule is on by default: the retention that the settings promise must not depend on a switch.
    """

    @dg.op(description="Removes expired responses, payloads, run logs, and leftovers of killed runs.")
    def remove_expired(context: dg.OpExecutionContext, lake: dg.ResourceParam[DataDir]) -> None:
        from lms_pipeline.housekeeping.cleanup import remove, remove_old_state

        tag_frozen_now(context, settings)
        with convert_errors(context):
            origin = context.run.remote_job_origin
            location = origin.location_name if origin else DEFAULT_LOCATION
            expired = find_all_expired(settings, context.instance, location)
            removed = remove(lake, expired, context.log.warning)
            remove_old_state(lake)
            events = remove_old_events(settings, context.instance, location)
            Registry(lake).store_copy()
        context.log.info("Removed %s, and %d old events from Dagster's log.", format_totals(removed), events)
        counts = {"left": len(expired) - len(removed), "events": events}
        for kind, (count, size) in sum_by_kind(removed).items():
            counts |= {kind: count, f"bytes of {kind}": size}  # numbers that the UI plots
        context.add_output_metadata(counts)

    @dg.op(description="Reports published files to Dagster that its event log lacks; all of them if it was lost.")
    def report_missing_events(context: dg.OpExecutionContext, lake: dg.ResourceParam[DataDir]) -> None:
        with convert_errors(context):
            missing = find_missing_events(context.instance, lake, find_first_day(settings))
            reported = report_events(context.instance, lake, missing, min_cohort=settings.min_cohort)
        context.log.info("Reported %d published files to Dagster.", reported)
        context.add_output_metadata({"reported": reported})

    @dg.job(
        name=HOUSEKEEPING,
        executor_def=dg.in_process_executor,
        description="Removes expired files, and reports published files that Dagster's event log lacks.",
    )
    def housekeeping() -> None:
        remove_expired()
        report_missing_events()

    schedule = dg.ScheduleDefinition(
        name=HOUSEKEEPING,
        job=housekeeping,
        cron_schedule=HOUSEKEEPING_CRON,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes expired files once a day. See LMS_REJECTED_DAYS and LMS_RUN_LOG_DAYS.",
    )
    return housekeeping, schedule


def find_all_expired(
    settings: Settings, instance: dg.DagsterInstance, location: str = DEFAULT_LOCATION
) -> list[ExpiredItem]:
    """Find everything that retention removes, in the data directory and of Dagster's runs. Nothing is changed.

    Raises:
        SettingsError: the options of accounts can't be read.
    """
    from lms_pipeline.housekeeping import cleanup

    policy = cleanup.load_policy(settings)
    expired = [*cleanup.find_expired(DataDir.open(settings), policy), *find_ended_run_locks(instance)]
    if settings.run_log_days:
        before = policy.now - timedelta(days=settings.run_log_days)
        expired += find_expired_run_logs(instance, before, jobs=JOB_NAMES, assets=OUR_ASSETS, location=location)
    return expired


def remove_old_events(
    settings: Settings, instance: dg.DagsterInstance, location: str = DEFAULT_LOCATION, *, is_dry_run: bool = False
) -> int:
    """Remove the events of old runs that Dagster no longer needs, or only count them, and return their number."""
    from lms_pipeline.defs.index_events import remove_index_events

    if not settings.run_log_days:
        return 0
    before = datetime.now(UTC) - timedelta(days=settings.run_log_days)
    return remove_index_events(
        instance, before, jobs=JOB_NAMES, assets=OUR_ASSETS, location=location, is_dry_run=is_dry_run
    )
