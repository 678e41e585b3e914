"""The asset `completion_report`, its job, and the sensor that requests it after a build of the warehouse.

Belongs here: when the report is written, and its metadata. Not here: the report (`report/`).
"""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from lms_pipeline.defs.failures import convert_errors
from lms_pipeline.defs.metadata import OWNERS, build_file_metadata, tag_frozen_now
from lms_pipeline.defs.run_requests import WRITE_REPORT
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    # no public name for what `define_asset_job` returns
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    from lms_pipeline.report.content import ReportContent

COMPLETION_REPORT = "completion_report"


class ReportDefinitions(NamedTuple):
    """What `definitions.py` adds for the report."""

    asset: dg.AssetsDefinition
    job: "UnresolvedAssetJobDefinition"
    sensor: dg.SensorDefinition


def build_report(settings: Settings) -> ReportDefinitions:
    """Build the asset, the job `write_report` and the sensor `report_refresh`."""

    @dg.asset(
        name=COMPLETION_REPORT,
        deps=["warehouse"],
        group_name="warehouse",
        owners=OWNERS,
        kinds={"html"},
        description="The completion report over all accounts as one HTML file that needs no connection, of the latest day with "
        "completion metrics. Groups under LMS_MIN_COHORT learners are withheld. With LMS_ATTENTION_ALERT=true, a run posts "
        "the number of enrollments that need attention to LMS_ALERT_WEBHOOK, once a day.",
    )
    def completion_report(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> dg.MaterializeResult[Any]:
        from lms_pipeline.report.content import build_content
        from lms_pipeline.report.publishing import write_content

        tag_frozen_now(context, settings)
        started = time.monotonic()
        with convert_errors(context):
            content = build_content(settings)
            path = write_content(settings, content)
            is_sent = _send_attention(settings, lake, content)
        context.log.info("The report is at %s.", lake.describe(path))
        return dg.MaterializeResult(
            metadata={
                "seconds": round(time.monotonic() - started, 3),
                "day": content.day.isoformat(),
                "accounts": len(content.accounts),
                "accounts_left_out": content.accounts_left_out,
                "courses_left_out": content.courses_left_out,
                "attention_sent": is_sent,
                **build_file_metadata(lake, path),
            }
        )

    job = dg.define_asset_job(
        WRITE_REPORT,
        selection=[COMPLETION_REPORT],
        executor_def=dg.in_process_executor,
        description="Writes the completion report of the latest day.",
    )
    return ReportDefinitions(completion_report, job, report_refresh)


def _send_attention(settings: Settings, lake: DataDir, content: "ReportContent") -> bool:
    """Send the counts of those who need attention, if the settings say so and the day was not sent yet."""
    if not settings.attention_alert or settings.alert_webhook is None:
        return False
    from lms_pipeline.alerts import Alerts
    from lms_pipeline.report.sections.attention import format_message

    text = format_message(content)
    address = settings.alert_webhook.get_secret_value()
    return text is not None and Alerts(lake, address).send_daily("attention", content.day, text)


@dg.sensor(
    job_name=WRITE_REPORT,
    minimum_interval_seconds=60,
    description="Writes the completion report after the warehouse was built.",
)
def report_refresh(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request a report once after each build of the warehouse."""
    newest = context.instance.get_latest_materialization_event(dg.AssetKey("warehouse"))
    if newest is None:
        return dg.SkipReason("The warehouse was not built yet.")
    cursor = f"{newest.run_id} {newest.timestamp}"
    if cursor == context.cursor:
        return dg.SkipReason("The warehouse was not built since the last report.")
    context.update_cursor(cursor)
    return dg.RunRequest(run_key=cursor)
