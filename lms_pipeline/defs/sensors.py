"""The sensors: new accounts, days to retry, the warehouse after new files, alerts for failed runs.

Belongs here: cheap checks for changes, and the runs or messages that follow. Runs by the clock are in `jobs.py`.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from lms_pipeline.accounts.names import load_display_names
from lms_pipeline.accounts.registry import ALLOW_ACCOUNT_DROP_ONCE, AccountDropError, Registry
from lms_pipeline.accounts.sync import sync_with_truto
from lms_pipeline.checks.fleet import count_partition_keys
from lms_pipeline.connection import Truto
from lms_pipeline.defs.account_failures import AccountFailure, read_account_failures
from lms_pipeline.defs.failed_days import find_ended_tick, find_failed_days, select_metrics
from lms_pipeline.defs.failures import NO_ALERT_TAG, SHELL_TAG, WILL_RETRY_TAG, describe_failure, has_tried_all_accounts
from lms_pipeline.defs.partitions import add_accounts, parse_partition_tags
from lms_pipeline.defs.ranges import is_range
from lms_pipeline.defs.roll_up import has_roll_ups
from lms_pipeline.defs.run_requests import (
    ACTIVE_STATUSES,
    DAILY_SNAPSHOT,
    JOB_NAMES,
    REBUILD_WAREHOUSE,
    build_continuations,
    build_run_requests,
    find_due_pulls,
    find_latest_runs,
    find_missing_snapshots,
    find_open_day,
    is_active,
)
from lms_pipeline.errors import LmsPipelineError, choose_form, format_count
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.roll_up_reading import list_rolled_up_tables
from lms_pipeline.lake.waiting import find_waiting, format_time
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import STORED_TABLES
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    from lms_pipeline.alerts import Alerts, RunFailure

log = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 1800.0
"""Time after the newest file during which the warehouse waits for active runs: a killed run can stay active forever."""

REPEAT_SECONDS = 3600.0
"""Time after the end of a failed build of the warehouse from which on it is requested again."""

ALLOW_DROP = "allow_drop"
"""Cursor of `account_registry` with which its next tick uses any list of accounts: a sensor has no other configuration
that a person can change in the UI."""


def build_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Build the sensors; `failure_alerts` only if LMS_ALERT_WEBHOOK is set."""
    sensors = [
        _build_account_registry(settings),
        _build_failed_days(settings),
        _build_waiting_pulls(settings),
        _build_warehouse_refresh(settings),
    ]
    if settings.alert_webhook is not None:
        sensors.append(_build_failure_alerts(settings, settings.alert_webhook.get_secret_value()))
    return sensors


def _build_account_registry(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job_name=DAILY_SNAPSHOT,
        minimum_interval_seconds=900,
        description="Updates the registry from Truto. New accounts become partitions and get their first snapshot. A list "
        "that lacks more than half of the active accounts changes nothing; if they are really gone, set the cursor of "
        f"this sensor to {ALLOW_DROP} for one tick.",
    )
    def account_registry(
        context: dg.SensorEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        registry = Registry(lake)
        allow_drop = (context.cursor or "").strip() == ALLOW_DROP
        try:
            sync_with_truto(truto.connect, registry, settings, allow_drop=allow_drop)
        except AccountDropError as error:
            message = str(error)
            if message.endswith(ALLOW_ACCOUNT_DROP_ONCE):
                message += f" Or set this sensor's cursor to {ALLOW_DROP} for one tick."
            context.log.warning("%s", message)
            return dg.SkipReason(message)
        if allow_drop:  # for one tick; Dagster's daemon does not store an empty cursor
            context.update_cursor(f"used at {truto.now().isoformat()}")
        add_accounts(context.instance, [account.id for account in registry.read_accounts()])
        count = count_partition_keys(registry, settings)
        context.log.log(logging.WARNING if count.is_near_limit else logging.INFO, "%s", count)
        day = find_open_day(settings, truto.now())
        if isinstance(day, dg.SkipReason):
            return dg.SkipReason(f"{day.skip_message} {count}")
        # new is who has its first day now, whoever added its partitions; Dagster runs a run key once
        new = [account.id for account in registry.read_active() if account.first_day == day]
        missing = find_missing_snapshots(lake, day, new) if new else []
        # `failed_days` may have requested some, and with several accounts in a run each tick has other run keys
        if missing:
            known = find_latest_runs(context.instance, day)
            missing = [partition for partition in missing if partition.account_id not in known]
        if not missing:
            return dg.SkipReason(f"No active account is new. {count}")
        return build_run_requests(context.instance, dict.fromkeys(missing, "as new"), settings.accounts_per_run)

    return account_registry


def _build_failed_days(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job_name=DAILY_SNAPSHOT,
        minimum_interval_seconds=3_600,
        description="Requests another run for accounts whose run failed, each hour while the day is open; and a run for those "
        "that have none after a tick of the schedule, if that is on.",
    )
    def failed_days(
        context: dg.SensorEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = find_open_day(settings, truto.now())
        if isinstance(day, dg.SkipReason):
            return day
        accounts = [account.id for account in Registry(lake).read_active()]
        location = context.code_location_origin.location_name if context.code_location_origin else None
        tick = find_ended_tick(context.instance, settings.calendar.ends_at(day), location)
        failed = find_failed_days(context.instance, lake, accounts, day, tick)
        found = [*failed.pulls, *failed.metrics]
        if not found:
            return dg.SkipReason(f"No account lacks its snapshot of {day} because of a failed run or tick.")
        pulls = failed.pulls
        if pulls:
            try:
                truto.check_token()
            except LmsPipelineError as error:
                if not failed.metrics:
                    raise
                context.log.warning("Only metrics are requested, which need no call: %s", error)
                pulls = {}
        add_accounts(context.instance, [partition.account_id for partition in found])
        pull_requests = build_run_requests(context.instance, pulls, settings.accounts_per_run)
        metrics = build_run_requests(context.instance, failed.metrics, settings.accounts_per_run)
        return [*pull_requests, *map(select_metrics, metrics)]

    return failed_days


def _build_waiting_pulls(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job_name=DAILY_SNAPSHOT,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Continues pulls that ended because their LMS allowed no call for more than a minute, once it allows "
        "calls again. It is on by default: without it such an account stays without its day.",
    )
    def waiting_pulls(
        context: dg.SensorEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = find_open_day(settings, truto.now())
        if isinstance(day, dg.SkipReason):
            return day
        accounts = {account.id for account in Registry(lake).read_active()}
        waiting = find_waiting(lake, day)
        due = find_due_pulls(context.instance, lake, waiting, accounts, day)
        if not due:
            which, times = choose_form(len(waiting), "it", "the first"), [pull.at for pull in waiting]
            until = f"; {which} continues at {format_time(min(times), settings.calendar.zone)}" if times else ""
            wait = choose_form(len(waiting), "waits for its LMS", "wait for their LMS")
            return dg.SkipReason(f"{format_count(len(waiting), 'pull')} {wait}{until}.")
        add_accounts(context.instance, [pull.account_id for pull in due])
        return build_continuations(context.instance, due)

    return waiting_pulls


def _build_warehouse_refresh(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job_name=REBUILD_WAREHOUSE,
        minimum_interval_seconds=60,
        description="Computes the days of the portfolio that changed, and rebuilds the warehouse, after something was "
        "published and no daily run is active any more; again an hour after a build that failed.",
    )
    def warehouse_refresh(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[DataDir]
    ) -> dg.RunRequest | dg.SkipReason:
        tables = {*STORED_TABLES, *(list_rolled_up_tables() if has_roll_ups(settings, lake) else ())}
        newest = _find_newest(context.instance, tables)
        if newest is None:
            return dg.SkipReason("Nothing was published yet.")
        cursor = run_key = f"{newest.run_id} {newest.timestamp}"
        if cursor == context.cursor:
            failed = _find_failed_build(context.instance)
            if failed is None:
                return dg.SkipReason("Nothing was published since the last build.")
            run_key = f"{cursor} after {failed}"
        active = dg.RunsFilter(job_name=DAILY_SNAPSHOT, statuses=ACTIVE_STATUSES)
        if time.time() - newest.timestamp < MAX_WAIT_SECONDS and context.instance.get_runs(active, limit=1):
            return dg.SkipReason("Daily runs are still active.")
        context.update_cursor(cursor)
        return dg.RunRequest(run_key=run_key)

    return warehouse_refresh


def _find_newest(instance: dg.DagsterInstance, tables: Iterable[Table]) -> dg.EventLogEntry | None:
    """Return the newest materialization of the tables; not those of the portfolio by builds of the warehouse."""
    events = [instance.get_latest_materialization_event(dg.AssetKey(table.name)) for table in tables]
    found = [event for event in events if event is not None and event.job_name != REBUILD_WAREHOUSE]
    return max(found, key=lambda event: event.timestamp, default=None)


def _find_failed_build(instance: dg.DagsterInstance) -> str | None:
    """Return the id of the latest build of the warehouse if it failed so long ago that it is repeated."""
    for record in instance.get_run_records(dg.RunsFilter(job_name=REBUILD_WAREHOUSE), limit=1):
        has_failed = record.dagster_run.status is dg.DagsterRunStatus.FAILURE and not is_active(record)
        if has_failed and time.time() - (record.end_time or 0.0) >= REPEAT_SECONDS:
            return record.dagster_run.run_id
    return None


def _build_failure_alerts(settings: Settings, address: str) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends failed runs to LMS_ALERT_WEBHOOK: once for each account and cause, not for each retry.",
    )
    def failure_alerts(context: dg.RunFailureSensorContext, lake: dg.ResourceParam[DataDir]) -> None:
        from lms_pipeline.alerts import Alerts

        run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
        silence = _find_silence(run.tags)
        if silence is None:
            events = context.get_step_failure_events()
            names = _load_names(settings)
            failures = read_account_failures(context.instance, run.run_id) if is_range(run.tags) else []
            described = [_describe_account(failure, names, run.run_id) for failure in failures if failure.sends_alert]
            if not has_tried_all_accounts(events):
                described.append(_describe_run(run, names, describe_failure(events, with_error_text=False)))
            if not _send_all(Alerts(lake, address), described):
                silence = "An alert for this account and cause was sent already."
        if silence is not None:  # not as a SkipReason: Dagster leaves the other failed runs to the next tick after one
            context.log.info("Run %s: %s", run.run_id[:8], silence)

    return failure_alerts


def _load_names(settings: Settings) -> Mapping[str, str]:
    """Return the accounts' names; none if they can't be read, since that may be the failure to send. Ids are shown then."""
    try:
        return load_display_names(settings)
    except LmsPipelineError as error:
        log.warning("Alerts have ids instead of names: %s", error)
        return {}


def _find_silence(tags: Mapping[str, str]) -> str | None:
    """Return why no alert is sent for a run with these tags; None if one is."""
    if NO_ALERT_TAG in tags:
        return "The day of the run is closed: no other run can publish it."
    if SHELL_TAG in tags:
        return "A command waits for the run and prints its failure."
    if tags.get(WILL_RETRY_TAG) == "true":
        return "The run is retried: an alert follows if the last retry fails."
    return None


def _send_all(alerts: "Alerts", failures: Sequence["RunFailure"]) -> int:
    """Send each failure once, whatever becomes of the others. Return how many were sent now.

    Raises:
        LmsPipelineError: the first one of those that can't be sent or recorded.
    """
    sent, errors = 0, []
    for failure in failures:
        try:
            sent += alerts.send_once(failure)
        except LmsPipelineError as error:
            errors.append(error)
            if error.may_pass and alerts.is_late():  # a webhook that does not respond takes 10 s for each
                break
    if errors:
        raise errors[0]
    return sent


def _describe_account(failure: AccountFailure, names: Mapping[str, str], run_id: str) -> "RunFailure":
    """Describe one of the accounts of a run that failed."""
    from lms_pipeline.alerts import RunFailure

    account_id, day = failure.partition.account_id, failure.partition.day
    return RunFailure(account_id, f"{names.get(account_id, account_id)} on {day}", failure.sentence, run_id)


def _name_run(run: dg.DagsterRun) -> str:
    """Return the job of a run; the assets of one that was started in the Catalog, whose job has a name of Dagster's own."""
    if run.job_name in JOB_NAMES or not run.asset_selection:
        return run.job_name
    return ", ".join(sorted(key.to_user_string() for key in run.asset_selection))


def _describe_run(run: dg.DagsterRun, names: Mapping[str, str], cause: str) -> "RunFailure":
    """Describe a run that failed as a whole."""
    from lms_pipeline.alerts import RunFailure

    partition = parse_partition_tags(run.tags)
    if partition is None:
        return RunFailure(None, _name_run(run), cause, run.run_id)
    name = names.get(partition.account_id, partition.account_id)
    return RunFailure(partition.account_id, f"{name} on {partition.day}", cause, run.run_id)
