"""The sensor that tells people of failed runs.

What belongs here: what Dagster knows of a failed run. The message and its sending are `alerting.py`.
"""

from __future__ import annotations

import dagster as dg

from lms_pipeline.accounts.registry import account_names
from lms_pipeline.defs.failures import FROM_A_SHELL, NO_ALERT, TRIED_AGAIN
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings


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
        from lms_pipeline.alerts import Alerts, Trouble

        run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
        if NO_ALERT in run.tags:
            return dg.SkipReason("The day is over, and failing is all that is left to do.")
        if FROM_A_SHELL in run.tags:
            return dg.SkipReason("Somebody waits for the run, and sees it fail.")
        if run.tags.get(TRIED_AGAIN) == "true":
            return dg.SkipReason("It is tried again; the last try is told of.")
        account_id, _, day = run.tags.get("dagster/partition", "").partition("|")
        name = account_names(settings).get(account_id, account_id)
        trouble = Trouble(
            account_id=account_id or None,
            what=f"{name} on {day}" if account_id else run.job_name,
            cause=_cause(context),
            run_id=run.run_id,
        )
        is_news = Alerts(lake, address).tell(trouble)
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
