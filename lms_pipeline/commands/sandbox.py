"""`lms-pipeline sandbox`: the local Truto in the foreground.

Belongs here: arguments. Not here: the server (`sandbox/`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from lms_pipeline.errors import WrongUseError
from lms_pipeline.sandbox import DEFAULT_PORT, DEFAULT_TOKEN, Clock, generated_world, read_script, records_world, serve


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 for any free port."
)
@click.option(
    "--records",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.ndjson",
    help="Serve these records instead of generated data. Can be repeated.",
)
@click.option("--clock", metavar="INSTANT", help="Stop the clock at this instant, like 2026-01-31T02:00:00Z.")
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    help="Switches and faults at the start: rate limits, errors, broken pages.",
)
@click.option("--token", default=DEFAULT_TOKEN, show_default=True, help="The API token that it accepts.")
def sandbox(port: int, records: tuple[Path, ...], clock: str | None, script: Path | None, token: str) -> None:
    """Serve a local Truto on this machine until interrupted."""
    now = Clock(_parse_instant(clock) if clock else None)
    world = records_world(records) if records else generated_world()

    def announce(url: str) -> None:
        click.echo(f"The sandbox listens on {url}. To use it in another shell:")
        click.echo(f"  export TRUTO_BASE_URL={url} TRUTO_API_TOKEN={token}")
        click.echo("Stop it with Ctrl-C.")

    scripted = read_script(script) if script else None
    serve(world, token=token, clock=now, script=scripted, port=port, announce=announce)


def _parse_instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUseError(f"--clock {text!r} is not an instant: write it as 2026-01-31T02:00:00Z.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
