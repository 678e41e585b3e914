"""`lms-pipeline housekeeping`: what the daily job does, from a shell.

What belongs here: arguments, and what is printed. What is past its time is `housekeeping/`.
"""

from __future__ import annotations

import sys

import click

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and leave all as it is.")
def housekeeping(*, dry_run: bool) -> None:
    """Remove what is past its time, and tell Dagster of published files that its log doesn't know of.

    Kept answers of whatever account after `answer_days`, payloads of rejected records after LMS_REJECTED_DAYS, logs of
    runs after LMS_RUN_LOG_DAYS, and what killed runs left. Exit status 1 where something could not be removed.
    """
    from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
    from lms_pipeline.defs.instance import open_instance
    from lms_pipeline.defs.jobs import find_expired
    from lms_pipeline.housekeeping.cleanup import remove
    from lms_pipeline.housekeeping.policy import format_totals

    settings = Settings.load()
    data = DataDir(settings.data_dir)
    with open_instance(settings) as instance:
        found, lacking = find_expired(settings, instance), find_missing_events(instance, data)
        if dry_run:
            for one in found:
                click.echo(one)
            click.echo(f"Would remove {format_totals(found)}.")
            click.echo(f"Would tell Dagster of {len(lacking):,} published files.")
            return
        removed = remove(data, found, lambda trouble: click.echo(trouble, err=True))
        click.echo(f"Removed {format_totals(removed)}.")
        click.echo(f"Told Dagster of {report_events(instance, data, lacking):,} published files.")
    if len(removed) < len(found):
        sys.exit(1)
