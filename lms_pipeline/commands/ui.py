"""`lms-pipeline ui`: Dagster's web UI and daemon on the data directory.

Belongs here: starting and stopping them, and the sandbox for the demo's data.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from textwrap import indent

import click

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.commands.common import load_settings
from lms_pipeline.connection import DemoMark
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.sandbox import Clock, generated_world, running

HOST = "127.0.0.1"
DEV_COMMAND_WARNING = "ignore:Function `dev_command` is superseded"
"""Warning filter. `dg dev` supersedes `dagster dev`, but depends on Dagster's cloud client."""
LOCKED_ZONES = {"PYTHONTZPATH": ""}
"""Lets Dagster's daemon and web server read the time zones of the package `tzdata`, as `days.use_locked_zones` does."""
NO_RATE_LIMITS = {"LMS_TOKEN_CALLS_PER_10S": "0", "LMS_ACCOUNT_CALLS_PER_10S": "0"}
"""The sandbox has no rate limits by default."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the UI.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory. Default: LMS_DATA_DIR."
)
def ui(port: int, data_dir: Path | None) -> None:
    """Start Dagster's web UI on the same data, with the sandbox if the data is the demo's. Ctrl-C stops both."""
    from lms_pipeline.defs.event_log import find_missing_config
    from lms_pipeline.defs.event_log_sync import sync_in_background
    from lms_pipeline.defs.instance import open_instance
    from lms_pipeline.defs.jobs import check_schedule

    _check_port(port)
    settings = load_settings(data_dir)
    check_schedule(settings)  # Dagster would start without the definitions
    with open_instance(settings) as instance, ExitStack() as services:
        data, first = DataDir.open(settings), find_first_day(settings)
        services.enter_context(
            sync_in_background(instance, data, click.echo, min_cohort=settings.min_cohort, first=first)
        )
        environment = {**os.environ, **LOCKED_ZONES, "LMS_DATA_DIR": str(settings.data_dir)}
        environment |= {"PYTHONWARNINGS": DEV_COMMAND_WARNING}
        if settings.token is None and DemoMark(DataDir.open(settings)).is_set():
            sandbox = services.enter_context(running(generated_world(), clock=Clock(settings.frozen_now)))
            environment |= {"TRUTO_BASE_URL": sandbox.url, "TRUTO_API_TOKEN": sandbox.token}
            environment |= NO_RATE_LIMITS
            click.echo(f"The demo's sandbox listens on {sandbox.url}")
        if (lines := find_missing_config(instance)) is not None:
            path = settings.dagster_home / "dagster.yaml"
            click.echo(f"Runs are a third faster with these lines in {path}:\n{indent(lines, '  ')}", nl=False)
        if settings.frozen_now:
            click.echo(f"LMS_NOW is set: {settings.now():%Y-%m-%d %H:%M} UTC is used as the current time.")
        click.echo(f"Dagster's UI starts on http://{HOST}:{port}")
        command = [sys.executable, "-m", "lms_pipeline.defs.webserver", "dev", "-h", HOST, "-p", str(port)]
        command += ["-w", str(files("lms_pipeline.defs").joinpath("workspace.yaml"))]
        status = _run_until_interrupted(command, environment)
    sys.exit(status)


def _check_port(port: int) -> None:
    """Refuse a port in use: Dagster's daemon would run without a UI and never stop."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise WrongUseError(
            f"Port {port} can't be used ({os.strerror(error.errno or 0)}): stop the process that listens there, or choose "
            "another with --port."
        ) from error


def _run_until_interrupted(command: list[str], environment: dict[str, str]) -> int:
    """Run the command in its own session, so that an interrupt reaches Dagster once. Return its exit status.

    A shell's `&` leaves SIGINT ignored. Dagster would inherit that, and nothing could stop it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, start_new_session=True) as dagster:  # noqa: S603 (our own arguments)
        try:
            return dagster.wait()
        except KeyboardInterrupt:
            dagster.send_signal(signal.SIGINT)
            dagster.wait()
            return 0
