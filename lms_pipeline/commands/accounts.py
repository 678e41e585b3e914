"""`lms-pipeline accounts`: the registry from a shell.

Belongs here: arguments and output. Not here: the registry (`accounts/`).
"""

from __future__ import annotations

import click
from rich import box
from rich.table import Table

from lms_pipeline.accounts.names import find_account, load_display_names
from lms_pipeline.accounts.options import AccountOptions, load_options
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.checks.fleet import count_partition_keys
from lms_pipeline.commands.common import load_settings, warn_of_unregistered_options
from lms_pipeline.commands.terminal import build_cell, print_table
from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.stopped import find_stopped
from lms_pipeline.lake.waiting import find_waiting, format_time, utc_now


@click.group()
def accounts() -> None:
    """Manage the accounts whose days are pulled."""


@accounts.command("list")
def list_accounts() -> None:
    """Print all accounts of the registry.

    Also prints when each pull that waits for its LMS continues, and which pulls stopped at a bound of their responses or
    for lack of space.
    """
    settings = load_settings()
    registered = Registry.open(settings).read_accounts()
    warn_of_unregistered_options(settings)
    if not registered:
        click.echo("No accounts yet: run `lms-pipeline accounts sync`, or `lms-pipeline accounts add ID`.")
        return
    options, names = load_options(settings), load_display_names(settings)
    zone, now = settings.calendar.zone, utc_now()
    waiting = {pull.account_id: pull for pull in find_waiting(DataDir.open(settings)) if pull.is_expected(now)}
    columns = ["id", "name", "status", "integration", "strategy", "first day", "last day"]
    table = Table(*columns, *(["continues at"] if waiting else []), box=box.SIMPLE)
    for account in registered:
        until = format_time(waiting[account.id].at, zone) if account.id in waiting else "-"
        table.add_row(
            account.id,
            build_cell(names[account.id]),
            build_cell(account.status),
            build_cell(account.integration or "-"),
            _format_strategy(options.get(account.id, AccountOptions()).strategy, account.strategy),
            str(account.first_day),
            str(account.last_day or "-"),
            *([until] if waiting else []),
        )
    print_table(table)
    for stopped in find_stopped(DataDir.open(settings)):
        at = stopped.at.astimezone(zone)
        click.echo(f"{stopped.partition} stopped at {at:%Y-%m-%d %H:%M} {zone}: {stopped.reason}")


def _format_strategy(option: str, chosen: str) -> str:
    """Return the strategy that is set, else the one that `auto` chose."""
    return f"{chosen} (auto)" if option == "auto" != chosen else option


@accounts.command()
@click.option(
    "--allow-drop",
    is_flag=True,
    help="Use the list even if it is empty, ends early, or lacks more than half of the active accounts.",
)
def sync(*, allow_drop: bool) -> None:
    """Update the registry from Truto: add new LMSs, update statuses, mark missing accounts as gone.

    Exits with 1 and changes nothing if the list lacks more than half of the active accounts.
    """
    from lms_pipeline.accounts.sync import sync_with_truto
    from lms_pipeline.connection import Truto

    settings = load_settings()
    registry = Registry.open(settings)
    new = sync_with_truto(Truto(settings).connect, registry, settings, allow_drop=allow_drop)
    accounts = registry.read_accounts()
    if not accounts:
        click.echo(
            "No account that Truto lists is an LMS: name their integrations in LMS_INTEGRATIONS, or register single accounts "
            "with `lms-pipeline accounts add ID`."
        )
        return
    of_them = choose_form(len(accounts), "", " of them")
    active = len(registry.read_active())
    click.echo(f"{format_count(len(accounts), 'account')}, {active}{of_them} active, {len(new)} new.")
    click.echo(count_partition_keys(registry, settings))
    warn_of_unregistered_options(settings)


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.option("--name", help="Name for people.")
def add(account_id: str, name: str | None) -> None:
    """Register the account ID of Truto by hand, without a check that Truto has it.

    An account of the registry becomes active again: `auto` selects its strategy again, and enrollments may be carried
    over again.
    """
    settings = load_settings()
    registry = Registry.open(settings)
    first_day = settings.calendar.find_latest_ended(settings.now())
    account = registry.add(account_id, name=name, first_day=first_day)
    click.echo(f"{account.id} is active, from {account.first_day} on.")
    count = count_partition_keys(registry, settings)
    if count.is_near_limit:
        click.echo(count, err=True)


@accounts.command()
@click.argument("account_id", metavar="ID")
def remove(account_id: str) -> None:
    """Stop pulling the account ID of the registry. Its data stays."""
    settings = load_settings()
    last_day = settings.calendar.find_latest_ended(settings.now())
    account = Registry.open(settings).remove(find_account(settings, account_id).id, last_day=last_day)
    click.echo(f"{account.id} is inactive; its data stays.")
