"""`lms-pipeline housekeeping`: the daily job from a shell.

Belongs here: arguments and output. Not here: what expires when, and its removal (`housekeeping/`).
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import date

import click

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.accounts.names import refuse_name
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.commands.common import load_settings, parse_day, print_warehouse
from lms_pipeline.commands.terminal import echo
from lms_pipeline.errors import WrongUseError, format_count
from lms_pipeline.lake.paths import DataDir, Partition


@click.command()
@click.option("--dry-run", is_flag=True, help="List what would be removed, and change nothing.")
@click.option(
    "--remove",
    "wrong",
    nargs=2,
    metavar="ACCOUNT DATE",
    help="Remove only the snapshot of this account and day, a wrong one.",
)
@click.option("--rebuild-index", is_flag=True, help="Only build the index of the published files again, from the lake.")
def housekeeping(*, dry_run: bool, wrong: tuple[str, str] | None, rebuild_index: bool) -> None:
    """Remove expired files, and report published files to Dagster that are missing in its log.

    Removes the responses of every account after `answer_days`, payloads of rejected records after LMS_REJECTED_DAYS,
    logs of runs after LMS_RUN_LOG_DAYS, and leftovers of killed runs. Exits with 1 if something could not be removed.
    """
    if wrong is not None and rebuild_index:
        raise WrongUseError("--remove can't be combined with --rebuild-index: run one after the other.")
    if wrong is not None:
        _remove_wrong_snapshot(wrong[0], parse_day(wrong[1]), dry_run=dry_run)
        return
    if rebuild_index:
        _rebuild_index(dry_run=dry_run)
        return
    from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
    from lms_pipeline.defs.instance import open_instance
    from lms_pipeline.defs.jobs import find_all_expired, remove_old_events
    from lms_pipeline.housekeeping.cleanup import find_expired, load_policy, remove, remove_old_state
    from lms_pipeline.housekeeping.policy import format_totals

    settings = load_settings()
    data = DataDir.open(settings)
    # before Dagster's log is opened, which a full disk prevents
    expired = [] if dry_run else find_expired(data, load_policy(settings))
    removed = remove(data, expired, lambda warning: echo(warning, err=True))
    with ExitStack() as ended:
        if not dry_run:
            ended.callback(lambda: echo(f"Removed {format_totals(removed)}."))
        instance = ended.enter_context(open_instance(settings))
        known = {item.path for item in expired}
        others = [item for item in find_all_expired(settings, instance) if item.path not in known]
        missing = find_missing_events(instance, data, find_first_day(settings))
        if dry_run:
            for item in others:
                echo(str(item))
            echo(f"Would remove {format_totals(others)}.")
            if events := remove_old_events(settings, instance, is_dry_run=True):
                echo(f"Would remove {format_count(events, 'old event')} from Dagster's log.")
            echo(f"Would report {format_count(len(missing), 'published file')} to Dagster.")
            return
        expired += others
        removed += remove(data, others, lambda warning: echo(warning, err=True))
        remove_old_state(data)
        Registry(data).store_copy()
        if events := remove_old_events(settings, instance):
            echo(f"Removed {format_count(events, 'old event')} from Dagster's log.")
        reported = report_events(instance, data, missing, min_cohort=settings.min_cohort)
    echo(f"Reported {format_count(reported, 'published file')} to Dagster.")
    if len(removed) < len(expired):
        sys.exit(1)


def _rebuild_index(*, dry_run: bool) -> None:
    """Build the index of the published files again."""
    from lms_pipeline.lake.index_sync import rebuild_index

    if dry_run:
        raise WrongUseError("--dry-run can't be combined with --rebuild-index, which removes nothing.")
    days = rebuild_index(DataDir.open(load_settings()))
    echo(f"Built the index of {format_count(days, 'account-day')} from the lake.")


def _remove_wrong_snapshot(account_id: str, day: date, *, dry_run: bool) -> None:
    """Remove a snapshot with everything that was derived from it, or list its files."""
    from lms_pipeline.housekeeping.wrong_snapshots import find_snapshot_files, remove_snapshot
    from lms_pipeline.lake.roll_up import find_roll_ups

    settings = load_settings()
    refuse_name(settings, account_id)
    data, partition = DataDir.open(settings), Partition(account_id, day)
    if dry_run:
        for path in find_snapshot_files(data, partition):
            echo(f"Would remove {data.describe(path)}")
        for path in find_roll_ups(data, day):
            echo(f"Would remove {data.describe(path)}, until the next build of the warehouse")
        return
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import open_instance, rebuild_warehouse

    removed = remove_snapshot(data, partition)
    echo(
        f"Removed {format_count(len(removed), 'file')} of {partition}. Dagster's event log still shows the runs that wrote them."
    )
    with open_instance(settings) as instance:
        if print_warehouse(rebuild_warehouse(build_defs(settings), instance), data):
            sys.exit(1)
