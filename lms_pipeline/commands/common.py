"""What several commands share: types of their arguments, and how runs are told.

What belongs here: helpers of the command line with more than one user.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lms_pipeline.defs.instance import RunOutcome


class Day(click.ParamType[date]):
    """A calendar day, YYYY-MM-DD."""

    name = "YYYY-MM-DD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day: write it as 2026-01-31.", param, ctx)


def tell(outcomes: Iterable[RunOutcome], total: int) -> list[RunOutcome]:
    """Print each outcome as it comes, under a progress bar on a terminal; returns those that failed."""
    failed: list[RunOutcome] = []
    for outcome in _with_progress(outcomes, total):
        if outcome.error is not None:
            failed.append(outcome)
            click.echo(f"{outcome.subject}: failed: {outcome.error}", err=True)
        elif outcome.kept:
            click.echo(f"{outcome.subject}: kept, the day is over")
        elif outcome.enrollments is None:
            click.echo(f"{outcome.subject}: published in {outcome.seconds:.1f} s")
        else:
            click.echo(f"{outcome.subject}: {outcome.enrollments:,} enrollments in {outcome.seconds:.1f} s")
    return failed


def _with_progress(outcomes: Iterable[RunOutcome], total: int) -> Iterator[RunOutcome]:
    if not sys.stderr.isatty():
        yield from outcomes
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("materializing", total=total)
        for outcome in outcomes:
            progress.advance(task)
            yield outcome


def command_line(data_dir: Path | None) -> str:
    """How the user called us, so that what we print can be pasted: `.venv/bin/lms-pipeline` in a checkout."""
    called = Path(sys.argv[0])
    if called.is_absolute() and called.is_relative_to(Path.cwd()):
        called = called.relative_to(Path.cwd())
    on_path = shutil.which("lms-pipeline")
    command = "lms-pipeline" if on_path and Path(on_path) == Path(sys.argv[0]).resolve() else str(called)
    return f"LMS_DATA_DIR={shlex.quote(str(data_dir))} {command}" if data_dir else command
