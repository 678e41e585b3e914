"""Parts that several commands share: argument types, settings, and the report of runs.

Belongs here: helpers of the command line with more than one user.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from datetime import UTC, date
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lms_pipeline.accounts.names import find_id_by_name
from lms_pipeline.accounts.registry import find_unregistered_options
from lms_pipeline.commands import terminal
from lms_pipeline.errors import format_count
from lms_pipeline.lake.access import restrict_access
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.waiting import format_time
from lms_pipeline.settings import Settings

if TYPE_CHECKING:  # Dagster takes a second to import
    from lms_pipeline.defs.instance import RunOutcome


def parse_day(text: str) -> date:
    """Return the day of an option.

    Raises:
        click.BadParameter: it is not a day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day: write it as 2026-01-31.") from None


def load_settings(data_dir: Path | None = None) -> Settings:
    """Return the settings, with the option `--data-dir` in place of `LMS_DATA_DIR` if it is given, and restrict access to it."""
    settings = Settings.load()
    if data_dir is not None:
        settings = settings.with_data_dir(data_dir.resolve())
    restrict_access(settings)
    return settings


def warn_of_unregistered_options(settings: Settings) -> None:
    """Print each account that LMS_ACCOUNTS_FILE names and the registry doesn't."""
    for account_id in find_unregistered_options(settings):
        todo = "correct the id, or register the account with `lms-pipeline accounts sync` or `accounts add`"
        if (other := find_id_by_name(settings, account_id)) is not None:
            todo = f"it is the name of {other}: use the id"
        terminal.echo(
            f"LMS_ACCOUNTS_FILE has options of {account_id}, which is not in the registry: they have no effect; {todo}.",
            err=True,
        )


def print_outcomes(outcomes: Iterable[RunOutcome], total: int) -> list[RunOutcome]:
    """Print each outcome when its run ends, under a progress bar on a terminal, and its failed checks.

    Return the outcomes with an error; a failed check of what was published is none.
    The run of a pull that continues later is followed by another one, and counts for nothing in `total`.

    Raises:
        KeyboardInterrupt: a signal ended a run; its outcome is printed.
    """
    failed: list[RunOutcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    is_hidden = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=is_hidden) as progress:
        task = progress.add_task("materializing", total=total)
        for outcome in outcomes:
            progress.advance(task, 0 if outcome.continues_at else 1)
            if outcome.continues_at is not None:
                until = format_time(outcome.continues_at, UTC)
                terminal.echo(f"{outcome.subject}: its LMS allows the next call at {until}, and it continues then")
            elif outcome.error is not None:
                terminal.echo(f"{outcome.subject}: failed: {outcome.error}", err=True)
            elif outcome.kept:
                terminal.echo(f"{outcome.subject}: kept, the day is closed")
            elif outcome.enrollments is None:
                terminal.echo(f"{outcome.subject}: published in {outcome.seconds:.1f} s")
            else:
                terminal.echo(
                    f"{outcome.subject}: {format_count(outcome.enrollments, 'enrollment')} in {outcome.seconds:.1f} s"
                )
            for check in outcome.failed_checks:
                terminal.echo(f"{outcome.subject}: {check}", err=True)
            if outcome.error is not None:
                failed.append(outcome)
            if outcome.is_interrupted:
                raise KeyboardInterrupt
    return failed


def print_continued(subject: str) -> None:
    """Print that a pull goes on whose LMS allows calls again."""
    terminal.echo(f"{subject}: continues now")


def print_warehouse(outcome: RunOutcome, data: DataDir) -> list[RunOutcome]:
    """Print the outcome of a build of the warehouse, and which files it left out. Return it if it failed.

    Raises:
        KeyboardInterrupt: a signal ended the build.
    """
    from lms_pipeline.lake.warehouse import read_left_out

    failed = print_outcomes([outcome], 1)
    for reason in read_left_out(data) if outcome.error is None else ():
        terminal.echo(f"Left out of the warehouse: {reason}", err=True)
    return failed


def format_command(data_dir: Path | None) -> str:
    """Return `lms-pipeline` as the user called it, ready to paste: `.venv/bin/lms-pipeline` in a checkout."""
    called = Path(sys.argv[0])
    if called.is_absolute() and called.is_relative_to(Path.cwd()):
        called = called.relative_to(Path.cwd())
    on_path = shutil.which("lms-pipeline")
    command = "lms-pipeline" if on_path and Path(on_path) == Path(sys.argv[0]).resolve() else str(called)
    return f"LMS_DATA_DIR={shlex.quote(str(data_dir))} {command}" if data_dir else command
