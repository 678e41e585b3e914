"""The sensors: accounts that come and go, and a warehouse that keeps up.

What belongs here: asking again and again whether something has changed, and no more work than that.
"""

import logging
import time

import dagster as dg

from lms_pipeline.accounts.registry import Registry, load_display_names
from lms_pipeline.accounts.sync import sync_with_truto
from lms_pipeline.checks.fleet import count_partition_keys
from lms_pipeline.connection import Truto
from lms_pipeline.defs.failures import FROM_A_SHELL, NO_ALERT, TRIED_AGAIN
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.defs.run_requests import (
    BUSY,
    DAILY_SNAPSHOT,
    NO_DAY_IS_OPEN,
    REBUILD_WAREHOUSE,
    build_run_request,
    find_failed,
    is_missing,
)
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings

MAX_WAIT = 1800.0
"""Seconds after the newest table for which runs that seem busy are waited for: a killed one seems so for ever."""


def build_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """`account_registry`, `failed_days` and `warehouse_refresh`."""

    @dg.sensor(
        job_name=DAILY_SNAPSHOT,
        minimum_interval_seconds=900,
        description="Takes in the accounts that Truto lists: new ones become partitions and get their first snapshot.",
    )
    def account_registry(
        context: dg.SensorEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        registry = Registry(lake.registry)
        sync_with_truto(truto.connect, registry, settings)
        add_accounts(context.instance, [account.id for account in registry.read_accounts()])
        count = count_partition_keys(registry, settings)
        context.log.log(logging.WARNING if count.is_near else logging.INFO, "%s", count)
        day = settings.calendar.find_open_day(truto.now())
        # who has its first day now is new, whoever made its partitions; a run key is requested once
        new = [account.id for account in registry.read_active() if account.first_day == day]
        asked = [Partition(one, day) for one in new if day and is_missing(lake, one, day)]
        if not asked:
            return dg.SkipReason(f"None is new and active. {count}")
        return [build_run_request(partition, "as new") for partition in asked]

    @dg.sensor(
        job_name=DAILY_SNAPSHOT,
        minimum_interval_seconds=3_600,
        description="Asks again for the open day of accounts whose run failed, each hour while its grace lasts.",
    )
    def failed_days(
        context: dg.SensorEvaluationContext, truto: dg.ResourceParam[Truto], lake: dg.ResourceParam[DataDir]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = settings.calendar.find_open_day(truto.now())
        if day is None:
            return dg.SkipReason(NO_DAY_IS_OPEN)
        accounts = [account.id for account in Registry(lake.registry).read_active()]
        failed = list(find_failed(context.instance, lake, accounts, day))
        if not failed:
            return dg.SkipReason(f"No run for {day} has failed without another that succeeded.")
        truto.check_token()
        return [build_run_request(partition, f"after {run_id}") for partition, run_id in failed]

    @dg.sensor(
        job_name=REBUILD_WAREHOUSE,
        minimum_interval_seconds=60,
        description="Builds the warehouse anew once the runs of a tick are over and something was published.",
    )
    def warehouse_refresh(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        newest = context.instance.get_latest_materialization_event(dg.AssetKey("account_completion"))
        if newest is None:
            return dg.SkipReason("Nothing was published yet.")
        cursor = f"{newest.run_id} {newest.timestamp}"
        if cursor == context.cursor:
            return dg.SkipReason("Nothing was published since the last build.")
        busy = dg.RunsFilter(job_name=DAILY_SNAPSHOT, statuses=BUSY)
        if time.time() - newest.timestamp < MAX_WAIT and context.instance.get_runs(busy, limit=1):
            return dg.SkipReason("Runs are still publishing.")
        context.update_cursor(cursor)
        return dg.RunRequest(run_key=cursor)

    return [account_registry, failed_days, warehouse_refresh]


def build_alerts(settings: Settings) -> list[dg.SensorDefinition]:
    """`failure_alerts`, where there is an address to tell."""
    if settings.alert_webhook is None:
        return []
    address = settings.alert_webhook.get_secret_value()

    @dg.run_failure_sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells LMS_ALERT_WEBHOOK of failed runs: once for each account and cause, not once for each try.",
    )
    def failure_alerts(
        context: dg.RunFailureSensorContext, lake: dg.ResourceParam[DataDir]
    ) -> dg.SkipReason | None:
        from lms_pipeline.alerts import Alerts, RunFailure

        run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
        if NO_ALERT in run.tags:
            return dg.SkipReason("The day is over, and failing is all that is left to do.")
        if FROM_A_SHELL in run.tags:
            return dg.SkipReason("Somebody waits for the run, and sees it fail.")
        if run.tags.get(TRIED_AGAIN) == "true":
            return dg.SkipReason("It is tried again; the last try is told of.")
        account_id, _, day = run.tags.get("dagster/partition", "").partition("|")
        name = load_display_names(settings).get(account_id, account_id)
        trouble = RunFailure(
            account_id=account_id or None,
            what=f"{name} on {day}" if account_id else run.job_name,
            cause=_cause(context),
            run_id=run.run_id,
        )
        is_news = Alerts(lake, address).send_once(trouble)
        return None if is_news else dg.SkipReason("It was told already.")

    return [failure_alerts]


def _cause(context: dg.RunFailureSensorContext) -> str:
    """Our own sentence; of other errors the kind alone, since nobody knows what their messages hold."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return str(failure.user_failure_data.description)
        if failure.error is not None:
            return f"an unexpected {failure.error.cls_name}: see the run's log."
    return "the run ended without a word: see its log."
