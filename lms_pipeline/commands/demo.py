"""`lms-pipeline demo`: the whole pipeline against the sandbox, for a first look.

What belongs here: which accounts and days, and what is printed. Everything it runs is what real accounts run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import click
from pydantic import SecretStr
from rich import box
from rich.console import Console
from rich.table import Table

from lms_pipeline.accounts.registry import Registry, display_names
from lms_pipeline.accounts.sync import DemoMark
from lms_pipeline.commands.common import command_line, tell
from lms_pipeline.defs.instance import RunOutcome
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import RunningSandbox, generated_world, running
from lms_pipeline.settings import Settings

STATEMENTS = {
    "the ten larger courses that fewest complete": "SELECT course_title, n_all, completion_rate "
    "FROM course_completion WHERE snapshot_date = (SELECT max(snapshot_date) FROM course_completion) "
    "AND n_all >= 50 "
    "ORDER BY completion_rate LIMIT 10",
    "what is in the lake": "SELECT account_id, snapshot_date, count(*) AS enrollments "
    "FROM unified_enrollments GROUP BY ALL ORDER BY ALL",
}
"""What the demo suggests to ask."""
UNLIMITED = {"token_calls_per_10s": 0, "account_calls_per_10s": 0}
"""The sandbox has none of Truto's limits unless it is told to."""
DAYS_SHOWN = 5
"""So many columns fit a terminal of 80 characters."""


@click.command()
@click.option(
    "--days", type=click.IntRange(1, 60), default=5, show_default=True, help="How many days, up to yesterday."
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep it; else LMS_DATA_DIR.",
)
def demo(days: int, data_dir: Path | None) -> None:
    """Run the whole pipeline against a local Truto, and show completion rates.

    Starts the sandbox, takes its accounts in, materializes the last days through Dagster, each as it was then, and
    builds the warehouse.
    """
    settings = Settings.load()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir.resolve()})
    data = DataDir(settings.data_dir)
    last = settings.calendar.latest_ended(settings.now())
    wanted = [last - timedelta(days=back) for back in reversed(range(days))]
    if wanted[0] < settings.start_date:
        raise WrongUseError(f"{wanted[0]} is before the first day, LMS_START_DATE {settings.start_date}.")
    DemoMark(data).set()
    click.echo(f"Starting a local Truto, and pulling {wanted[0]} to {last} into {settings.data_dir}")
    with running(generated_world()) as sandbox:
        failed = _materialize(settings, sandbox, wanted)
    if failed:
        click.echo(f"{len(failed)} runs failed.", err=True)
        sys.exit(1)
    _show_rates(data, wanted[-DAYS_SHOWN:])
    _show_next_steps(data_dir)


def _materialize(settings: Settings, sandbox: RunningSandbox, days: Sequence[date]) -> list[RunOutcome]:
    """Each day as of its end: the sandbox's clock and ours stand there."""
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import open_instance, rebuild_warehouse, run_partitions

    failed: list[RunOutcome] = []
    with open_instance(settings) as instance:
        for day in days:
            then = _at(settings, sandbox, day)
            partitions = [Partition(account_id, day) for account_id in _active_accounts(then)]
            failed += tell(
                run_partitions(build_defs(then), instance, partitions, names=display_names(then)),
                len(partitions),
            )
        failed += tell([rebuild_warehouse(build_defs(settings), instance)], 1)
    return failed


def _at(settings: Settings, sandbox: RunningSandbox, day: date) -> Settings:
    """The settings of a pull of `day` shortly after its end, from the sandbox at that time."""
    calendar = settings.calendar
    grace = calendar.closes_at(day) - calendar.ends_at(day)
    present: datetime = min(calendar.ends_at(day) + grace / 12, settings.now())
    sandbox.set_clock(present)
    of_sandbox = {"base_url": sandbox.url, "token": SecretStr(sandbox.token), **UNLIMITED}
    return settings.model_copy(update={**of_sandbox, "frozen_now": present})


def _active_accounts(settings: Settings) -> list[str]:
    from lms_pipeline.accounts.sync import sync_with_truto
    from lms_pipeline.connection import Truto

    registry = Registry(DataDir(settings.data_dir).registry)
    sync_with_truto(Truto(settings).connect, registry, settings)
    return [account.id for account in registry.active()]


def _show_rates(data: DataDir, days: Sequence[date]) -> None:
    """One line an account, one column a day; and who can't be pulled."""
    table = Table(
        "account",
        "enrollments",
        *(f"{day:%b %d}" for day in days),
        title="Completion rate at the end of each day",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in _rate_rows(data, days):
        table.add_row(*cells)
    click.echo()
    Console().print(table)
    click.echo()
    for account in Registry(data.registry).accounts():
        if not account.is_active:
            click.echo(f"{account.name} is left out, its status is {account.status}.")


def _rate_rows(data: DataDir, days: Sequence[date]) -> Iterator[list[str]]:
    from lms_pipeline.lake.reading import read

    rows = read("account_completion", first=days[0], last=days[-1], data_dir=data.root).to_pylist()
    by_key = {(row["account_id"], row["snapshot_date"]): row for row in rows}
    for account in Registry(data.registry).active():
        latest = by_key[account.id, days[-1]]
        rates = [by_key[account.id, day]["completion_rate"] for day in days]
        yield [
            account.name,
            f"{latest['n_all']:,}",
            *("-" if rate is None else f"{rate:.1%}" for rate in rates),
        ]


def _show_next_steps(data_dir: Path | None) -> None:
    run = command_line(data_dir)
    click.echo("\nWhat to try next:")
    click.echo("  every run that was just made, and more of them, in Dagster's UI:")
    click.echo("    make ui" if data_dir is None and run.startswith(".venv") else f"    {run} ui")
    for what, statement in STATEMENTS.items():
        click.echo(f"  {what}:")
        click.echo(f'    {run} query "{statement}"')
    click.echo("  the accounts:")
    click.echo(f"    {run} accounts list")
