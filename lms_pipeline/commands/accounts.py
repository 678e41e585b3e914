"""`lms-pipeline accounts`: the registry from a shell.

What belongs here: arguments, and what is printed. The registry is `registry.py`.
"""

from __future__ import annotations

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lms_pipeline.accounts.options import AccountOptions, read_options
from lms_pipeline.accounts.registry import Registry, display_names
from lms_pipeline.checks.fleet import count_partition_keys
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings


@click.group()
def accounts() -> None:
    """The accounts whose days are pulled."""


@accounts.command("list")
def list_accounts() -> None:
    """Print the accounts we know."""
    settings = Settings.load()
    known = _registry(settings).accounts()
    if not known:
        click.echo("No accounts yet: run `lms-pipeline accounts sync`, or `lms-pipeline accounts add ID`.")
        return
    options, names = read_options(settings.accounts_file), display_names(settings)
    table = Table("id", "name", "status", "integration", "strategy", "first day", "last day", box=box.SIMPLE)
    for account in known:
        table.add_row(
            account.id,
            Text(names[account.id]),  # whatever is in a name, it is no markup
            account.status,
            account.integration or "-",
            _strategy(options.get(account.id, AccountOptions()).strategy, account.strategy),
            str(account.first_day),
            str(account.last_day or "-"),
        )
    Console(width=None if Console().is_terminal else 160).print(table)


def _strategy(chosen: str, found: str) -> str:
    """What is set; else what was found to fit."""
    return f"{found} (auto)" if chosen == "auto" != found else chosen


@accounts.command()
def sync() -> None:
    """Ask Truto for its accounts: new LMSs come in, statuses follow, the missing are marked gone."""
    from lms_pipeline.accounts.sync import sync_with_truto
    from lms_pipeline.connection import Truto

    settings = Settings.load()
    registry = _registry(settings)
    new = sync_with_truto(Truto(settings).connect, registry, settings)
    click.echo(
        f"{len(registry.accounts())} accounts, {len(registry.active())} of them active, {len(new)} new."
    )
    click.echo(count_partition_keys(registry, settings))


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.option("--name", help="What people call it.")
def add(account_id: str, name: str | None) -> None:
    """Take in an account by hand, or make one active again."""
    settings = Settings.load()
    first_day = settings.calendar.latest_ended(settings.now())
    account = _registry(settings).add(account_id, name=name, first_day=first_day)
    click.echo(f"{account.id} is active, from {account.first_day} on.")
    _warn_of_many(settings)


@accounts.command()
@click.argument("account_id", metavar="ID")
def remove(account_id: str) -> None:
    """Stop pulling an account; its data stays."""
    settings = Settings.load()
    account = _registry(settings).remove(account_id, last_day=settings.calendar.latest_ended(settings.now()))
    click.echo(f"{account.id} is inactive; what was pulled of it stays.")


def _warn_of_many(settings: Settings) -> None:
    count = count_partition_keys(_registry(settings), settings)
    if count.is_near_limit:
        click.echo(count, err=True)


def _registry(settings: Settings) -> Registry:
    return Registry(DataDir(settings.data_dir).registry)
