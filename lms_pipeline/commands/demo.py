"""`lms-pipeline demo`: the whole pipeline against the sandbox, for a first look.

Belongs here: the choice of days, and output. The runs are the same as those of real accounts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import click
from pydantic import SecretStr
from rich import box
from rich.console import Console
from rich.table import Table

from lms_pipeline.accounts.listed_days import check_first_day
from lms_pipeline.accounts.names import load_display_names
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.commands.common import format_command, load_settings, print_outcomes, print_warehouse
from lms_pipeline.commands.terminal import build_cell, echo
from lms_pipeline.connection import DemoMark
from lms_pipeline.defs.instance import RunOutcome
from lms_pipeline.errors import LmsPipelineError, WrongUseError, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import RunningSandbox, generated_world, running
from lms_pipeline.settings import Settings

EXAMPLE_QUERIES = {
    "the ten larger courses with the lowest completion rates": "SELECT course_title, n_all, completion_rate "
    "FROM course_completion WHERE snapshot_date = (SELECT max(snapshot_date) FROM course_completion) "
    "AND n_all >= 50 "
    "ORDER BY completion_rate LIMIT 10",
    "the contents of the lake": "SELECT account_id, snapshot_date, count(*) AS enrollments "
    "FROM unified_enrollments GROUP BY ALL ORDER BY ALL",
}
"""Queries that the demo suggests, by their description."""
NO_RATE_LIMITS = {"token_calls_per_10s": 0, "account_calls_per_10s": 0}
"""The sandbox has no rate limits by default."""
MAX_DAY_COLUMNS = 5
"""Columns that fit a terminal of 80 characters."""


@click.command()
@click.option(
    "--days", type=click.IntRange(1, 60), default=5, show_default=True, help="Number of days, up to yesterday."
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory. Default: LMS_DATA_DIR."
)
def demo(days: int, data_dir: Path | None) -> None:
    """Run the whole pipeline against a local Truto and print completion rates.

    Starts the sandbox, adds its accounts, materializes the last days through Dagster, each in its state at that time,
    builds the warehouse, and writes the completion report.
    """
    settings = load_settings(data_dir)
    _refuse_shared_storage(settings)
    data = DataDir.open(settings)
    last = settings.calendar.find_latest_ended(settings.now())
    demo_days = [last - timedelta(days=back) for back in reversed(range(days))]
    check_first_day(settings, demo_days[0])
    _create_folder(data.root)
    DemoMark(data).set()
    click.echo(f"Starting a local Truto and pulling {demo_days[0]} to {last} into {settings.data_dir}")
    with running(generated_world()) as sandbox:
        failed, total = _materialize(settings, sandbox, demo_days)
    if failed:
        click.echo(f"{len(failed)} of {format_count(total, 'run')} failed.", err=True)
        sys.exit(1)
    _print_rates(data, demo_days[-MAX_DAY_COLUMNS:])
    _print_next_steps(data_dir)
    _write_report(settings)


def _refuse_shared_storage(settings: Settings) -> None:
    """Refuse the demo beside real accounts in a bucket or a database.

    Raises:
        WrongUseError: the settings name one.
    """
    if settings.lake_url is not None or settings.state_url is not None:
        raise WrongUseError(
            "The demo keeps its accounts on this machine: unset LMS_LAKE_URL and LMS_STATE_URL, and choose a folder for it with "
            "--data-dir."
        )


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LmsPipelineError(
            f"The data directory {folder} can't be created: choose another one with --data-dir."
        ) from error


def _materialize(settings: Settings, sandbox: RunningSandbox, days: Sequence[date]) -> tuple[list[RunOutcome], int]:
    """Pull each day with the sandbox's clock and `LMS_NOW` set shortly after its end.

    Return the failed runs, and the number of all runs.
    """
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import open_instance, rebuild_warehouse, run_partitions

    failed: list[RunOutcome] = []
    total = 1  # the build of the warehouse
    with open_instance(settings) as instance:
        for day in days:
            then = _freeze_at(settings, sandbox, day)
            partitions = [Partition(account_id, day) for account_id in _sync_accounts(then)]
            total += len(partitions)
            failed += print_outcomes(
                run_partitions(build_defs(then), instance, partitions, names=load_display_names(then)), len(partitions)
            )
        failed += print_warehouse(rebuild_warehouse(build_defs(settings), instance), DataDir.open(settings))
    return failed, total


def _freeze_at(settings: Settings, sandbox: RunningSandbox, day: date) -> Settings:
    """Set the sandbox's clock shortly after the end of `day`. Return the settings of a pull at that time."""
    calendar = settings.calendar
    grace = calendar.closes_at(day) - calendar.ends_at(day)
    frozen_now: datetime = min(calendar.ends_at(day) + grace / 12, settings.now())
    sandbox.set_clock(frozen_now)
    sandbox_settings = {"base_url": sandbox.url, "token": SecretStr(sandbox.token), **NO_RATE_LIMITS}
    return settings.model_copy(update={**sandbox_settings, "frozen_now": frozen_now})


def _sync_accounts(settings: Settings) -> list[str]:
    """Update the registry from the sandbox. Return the ids of the active accounts."""
    from lms_pipeline.accounts.sync import sync_with_truto
    from lms_pipeline.connection import Truto

    registry = Registry.open(settings)
    sync_with_truto(Truto(settings).connect, registry, settings)
    return [account.id for account in registry.read_active()]


def _print_rates(data: DataDir, days: Sequence[date]) -> None:
    """Print a row for each active account with a column for each day, then the accounts that can't be pulled."""
    from lms_pipeline.lake.reading import read

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
    rows = read("account_completion", first=days[0], last=days[-1], data_dir=data.root).to_pylist()
    by_key = {(row["account_id"], row["snapshot_date"]): row for row in rows}
    for account in Registry(data).read_active():
        rates = [by_key[account.id, day]["completion_rate"] for day in days]
        cells = ("-" if rate is None else f"{rate:.1%}" for rate in rates)
        table.add_row(build_cell(account.name), f"{by_key[account.id, days[-1]]['n_all']:,}", *cells)
    click.echo()
    Console().print(table)
    click.echo()
    for account in Registry(data).read_accounts():
        if not account.is_active:
            todo = ": ask its owner to connect it again in Truto" if account.status == "needs_reauth" else ""
            echo(f"{account.name} is skipped because its status is {account.status}{todo}.")


def _write_report(settings: Settings) -> None:
    """Write the completion report of the latest day and print its path."""
    from lms_pipeline.report.publishing import write_report

    place = DataDir.open(settings).describe(write_report(settings))
    click.echo(f"\nThe completion report, one file that opens in any browser:\n  {place}")


def _print_next_steps(data_dir: Path | None) -> None:
    command = format_command(data_dir)
    click.echo("\nWhat to try next:")
    click.echo("  see these runs in Dagster's UI, and start more:")
    click.echo("    make ui" if data_dir is None and command.startswith(".venv") else f"    {command} ui")
    for description, sql in EXAMPLE_QUERIES.items():
        click.echo(f"  {description}:")
        click.echo(f'    {command} query "{sql}"')
    click.echo("  the accounts:")
    click.echo(f"    {command} accounts list")
