"""The job that removes what is past its time, and keeps Dagster's catalogue up to the lake.

What belongs here: the Dagster face of `housekeeping/`.
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from lms_pipeline.defs.event_log_sync import tell, untold
from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.jobs import HOUSEKEEPING
from lms_pipeline.defs.metadata import tell_present
from lms_pipeline.defs.run_logs import LOCATION, old_run_logs
from lms_pipeline.housekeeping.policy import Due, totals, totals_told
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

DAILY = "30 1 * * *"
"""Half an hour before the pulls of the usual schedule, so that they find room."""


def due(settings: Settings, instance: dg.DagsterInstance, location: str = LOCATION) -> list[Due]:
    """All that is past its time, in the data directory and in Dagster's log; nothing is changed.

    Raises:
        SettingsError: the options of accounts can't be read.
    """
    from lms_pipeline.housekeeping.cleanup import planned, rules_of

    rules = rules_of(settings)
    found = planned(DataDir(settings.data_dir), rules)
    if settings.run_log_days:
        found += old_run_logs(instance, rules.now - timedelta(days=settings.run_log_days), location)
    return found


def build_housekeeping(settings: Settings) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job `housekeeping` and its daily schedule.

    The schedule is on unless somebody turns it off: what is said to be kept for so many days mustn't wait for that.
    """

    @dg.op(description="Removes answers, payloads, leftovers and run logs that are past their time.")
    def remove_what_is_due(context: dg.OpExecutionContext, lake: dg.ResourceParam[DataDir]) -> None:
        from lms_pipeline.housekeeping.cleanup import remove

        tell_present(context, settings)
        with told_to_people(context):
            origin = context.run.remote_job_origin
            found = due(settings, context.instance, origin.location_name if origin else LOCATION)
            removed = remove(lake, found, context.log.warning)
        context.log.info("Removed %s.", totals_told(removed))
        context.add_output_metadata(_counts(removed) | {"left": len(found) - len(removed)})

    @dg.op(
        description="Tells Dagster of published files that its log doesn't know of: all, where it was lost."
    )
    def tell_of_the_lake(context: dg.OpExecutionContext, lake: dg.ResourceParam[DataDir]) -> None:
        with told_to_people(context):
            told = tell(context.instance, lake, untold(context.instance, lake))
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


def _counts(removed: list[Due]) -> dict[str, Any]:
    """By kind, as numbers that the UI plots."""
    counts: dict[str, Any] = {}
    for kind, (count, size) in totals(removed).items():
        counts |= {kind: count, f"bytes of {kind}": size}
    return counts
