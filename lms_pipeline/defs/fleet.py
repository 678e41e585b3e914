"""The checks of all accounts together, their job and its schedule.

What belongs here: the Dagster face of `checks/fleet.py`. They stand on the warehouse, which holds all accounts, and run by
the clock as well: where nothing is published any more, nothing else would notice.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from lms_pipeline.checks.base import Finding
from lms_pipeline.checks.fleet import FLEET_CHECKS, accounts_are_fresh
from lms_pipeline.defs.asset_checks import check_result
from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.jobs import DAILY_SNAPSHOT
from lms_pipeline.defs.run_requests import FAILED
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

WATCH_FLEET = "watch_fleet"
LOOKED_BACK = timedelta(days=30)
"""Runs that failed before are taken for never asked: Dagster is not asked for all of its log each hour."""
KEYS = {dg.AssetCheckKey(dg.AssetKey("warehouse"), check.name): check for check in FLEET_CHECKS}


def build_fleet_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """One step for all of them."""
    specs = [
        dg.AssetCheckSpec(check.name, asset=key.asset_key, description=check.doc)
        for key, check in KEYS.items()
    ]

    @dg.multi_asset_check(specs=specs, can_subset=True)
    def fleet_checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.AssetCheckResult]:
        from lms_pipeline.checks.fleet import fleet_of

        with told_to_people(context):
            fleet = fleet_of(lake, settings, _failed(context.instance))
            for key, check in KEYS.items():
                if key in context.selected_asset_check_keys:
                    finding = check.look(fleet)
                    yield check_result(key, check, finding)
                    if check.look is accounts_are_fresh and not finding.passed:
                        _tell(settings, lake, finding, context.run.run_id)

    return fleet_checks


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


def _tell(settings: Settings, data: DataDir, finding: Finding, run_id: str) -> None:
    """A run that fails is told of by `failure_alerts`; what was never run is told of here, once a day."""
    from lms_pipeline.alerts import Alerts, Trouble

    if settings.alert_webhook is not None:
        alerts = Alerts(data, settings.alert_webhook.get_secret_value())
        alerts.tell(Trouble(None, "The daily snapshot", finding.told, run_id))


def _failed(instance: dg.DagsterInstance) -> set[Partition]:
    """The partitions for which a run failed of late."""
    of_late = dg.RunsFilter(
        job_name=DAILY_SNAPSHOT, statuses=FAILED, created_after=datetime.now(UTC) - LOOKED_BACK
    )
    keys = (run.tags.get("dagster/partition", "").split("|") for run in instance.get_runs(of_late))
    return {Partition(key[0], date.fromisoformat(key[1])) for key in keys if len(key) == 2}
