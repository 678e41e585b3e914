"""The code location: `build_defs` puts the definitions of `defs/` together, and nothing else.

Another Dagster project includes the package with `dg.Definitions.merge(build_defs(settings), ...)`.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from lms_pipeline.accounts.listed_days import freeze_first_day
from lms_pipeline.days import use_locked_zones
from lms_pipeline.defs.asset_checks import build_fleet_checks, build_portfolio_checks
from lms_pipeline.defs.assets import build_pull, build_source, build_warehouse_asset
from lms_pipeline.defs.jobs import build_fleet_schedule, build_housekeeping, build_jobs, build_schedule
from lms_pipeline.defs.portfolio import build_portfolio
from lms_pipeline.defs.report import build_report
from lms_pipeline.defs.resources import build_resources
from lms_pipeline.defs.roll_up import build_by_day
from lms_pipeline.defs.sensors import build_sensors
from lms_pipeline.lake.access import restrict_access
from lms_pipeline.settings import Settings
from lms_pipeline.truto.log_filter import install_logging_filters


def build_defs(settings: Settings, first_day: date | None = None) -> dg.Definitions:
    """Build everything that Dagster shows and runs with these settings. Sets the umask of the process.

    The partitions begin on the first day that Dagster lists, or on an earlier `first_day`, which a command runs.

    Raises:
        SettingsError: LMS_SCHEDULE is not a cron expression.
        LakeError: files in the data directory are readable for others, and can't be changed.
    """
    install_logging_filters()
    restrict_access(settings)
    use_locked_zones()  # Dagster reads zones by name: the keys of its days must be those of the calendar
    housekeeping, housekeeping_schedule = build_housekeeping(settings)
    report = build_report(settings)
    listed = freeze_first_day(settings, first_day)  # for what has partitions
    return dg.Definitions(
        assets=[
            build_source(settings),
            build_pull(listed),
            build_portfolio(listed),
            build_by_day(listed),
            build_warehouse_asset(settings),
            report.asset,
        ],
        asset_checks=[build_portfolio_checks(listed), build_fleet_checks(settings)],
        jobs=[*build_jobs(), housekeeping, report.job],
        schedules=[build_schedule(settings), build_fleet_schedule(settings), housekeeping_schedule],
        sensors=[*build_sensors(settings), report.sensor],
        resources=build_resources(settings),
        executor=dg.in_process_executor,
        metadata={"LMS_NOW": settings.frozen_now.isoformat()} if settings.frozen_now else None,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Build the definitions with the settings of the environment."""
    return build_defs(Settings.load())
