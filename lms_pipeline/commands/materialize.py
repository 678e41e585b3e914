"""`lms-pipeline materialize`: the assets of chosen accounts and days, from a shell.

What belongs here: arguments, checks, and what is printed. The running is `defs/running.py`.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta

import click

from lms_pipeline.accounts.registry import Registry, display_names
from lms_pipeline.commands.common import Day, tell
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings


@click.command()
@click.option(
    "--account", "accounts", multiple=True, metavar="ID", help="Only this account; can be repeated."
)
@click.option("--date", "first", type=Day(), help="The day; the latest that ended if not given.")
@click.option("--to", "last", type=Day(), help="The last day, where there is more than one.")
@click.option("--select", metavar="ASSETS", default="", help="Only these assets, by name, with commas.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what it would ask for and how long it would take; ask for lists alone.",
)
@click.option(
    "--allow-drop", is_flag=True, help="Publish although far fewer enrollments are there than the day before."
)
def materialize(
    accounts: tuple[str, ...],
    first: date | None,
    last: date | None,
    select: str,
    *,
    dry_run: bool,
    allow_drop: bool,
) -> None:
    """Pull days and work out their metrics, then bring the warehouse up to date.

    All active accounts and the latest ended day, if nothing else is asked for. Exit status: 0 where all was
    published, 1 where something failed, 2 where what was asked for can't be.
    """
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import check_selection, open_instance, rebuild_warehouse, run_partitions

    settings = Settings.load()
    selection = [name.strip() for name in select.split(",") if name.strip()]
    check_selection(selection)
    days = _days(settings, first, last) if selection != ["warehouse"] else []
    names = display_names(settings)
    chosen = _accounts(settings, accounts) if days else []
    partitions = [Partition(account_id, day) for day in days for account_id in chosen]
    if dry_run:
        _foresee(settings, partitions, names)
        return
    if settings.frozen_now:
        click.echo(f"LMS_NOW is set: {settings.now():%Y-%m-%d %H:%M} UTC is taken for the present.", err=True)
    defs = build_defs(settings)
    failed = []
    with open_instance(settings) as instance:
        runs = run_partitions(defs, instance, partitions, selection, names, allow_drop=allow_drop)
        failed += tell(runs, len(partitions))
        failed += tell([rebuild_warehouse(defs, instance)], 1)
    if failed:
        click.echo(f"{len(failed)} of {len(partitions) + 1} runs failed.", err=True)
        sys.exit(1)


def _foresee(settings: Settings, partitions: list[Partition], names: dict[str, str]) -> None:
    """One line for each account and day."""
    from lms_pipeline.connection import Truto
    from lms_pipeline.snapshot.estimate import estimate_calls
    from lms_pipeline.snapshot.job import SnapshotJob
    from lms_pipeline.truto.errors import TrutoError

    data, is_failed = DataDir(settings.data_dir), False
    with Truto(settings).connect() as client:
        for partition in partitions:
            account_id = partition.account_id
            job = SnapshotJob.load(settings, partition, "dry-run")
            try:
                told = estimate_calls(client, data, job)
            except TrutoError as error:
                told, is_failed = str(error), True
            click.echo(f"{names[account_id]} on {partition.day}: {told}")
        click.echo(f"{client.requests} calls were made to find out, and nothing was stored.")
    if is_failed:
        sys.exit(1)


def _days(settings: Settings, first: date | None, last: date | None) -> list[date]:
    latest = settings.calendar.latest_ended(settings.now())
    first = first or last or latest
    last = last or first
    if last < first:
        raise WrongUseError(f"--to {last} is before --date {first}: give the earlier day first.")
    if last > latest:
        raise WrongUseError(f"{last} has not ended yet: the latest day that can be pulled is {latest}.")
    if first < settings.start_date:
        raise WrongUseError(f"{first} is before the first day, LMS_START_DATE {settings.start_date}.")
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _accounts(settings: Settings, asked: tuple[str, ...]) -> list[str]:
    registry = Registry(DataDir(settings.data_dir).registry)
    if asked:
        return list(dict.fromkeys(registry.get(account_id).id for account_id in asked))
    active = [account.id for account in registry.active()]
    if not active:
        raise WrongUseError(
            "No account is active: take some in with `lms-pipeline accounts sync` or `accounts add`."
        )
    return active
