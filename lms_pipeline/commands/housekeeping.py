"""`lms-pipeline housekeeping`: the daily job from a shell.

Belongs here: arguments and output. Not here: what expires when, and its removal (`housekeeping/`).
"""

from __future__ import annotations

import sys

import click

from lms_pipeline.commands.common import load_settings
from lms_pipeline.commands.terminal import echo
from lms_pipeline.lake.paths import DataDir


@click.command()
@click.option("--dry-run", is_flag=True, help="List what would be removed, and change nothing.")
def housekeeping(*, dry_run: bool) -> None:
    """Remove expired files, and report published files to Dagster that are missing in its log.

    Removes the responses of every account after `answer_days`, payloads of rejected records after LMS_REJECTED_DAYS,
    logs of runs after LMS_RUN_LOG_DAYS, and leftovers of killed runs. Exits with 1 if something could not be removed.
    """
    from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
    from lms_pipeline.defs.instance import open_instance
    from lms_pipeline.defs.jobs import find_all_expired
    from lms_pipeline.housekeeping.cleanup import remove
    from lms_pipeline.housekeeping.policy import format_totals

    settings = load_settings()
    data = DataDir(settings.data_dir)
    with open_instance(settings) as instance:
        expired, missing = find_all_expired(settings, instance), find_missing_events(instance, data)
        if dry_run:
            for item in expired:
                echo(str(item))
            echo(f"Would remove {format_totals(expired)}.")
            echo(f"Would report {len(missing):,} published files to Dagster.")
            return
        removed = remove(data, expired, lambda warning: echo(warning, err=True))
        echo(f"Removed {format_totals(removed)}.")
        echo(f"Reported {report_events(instance, data, missing):,} published files to Dagster.")
    if len(removed) < len(expired):
        sys.exit(1)
