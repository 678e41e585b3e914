"""`lms-pipeline ui`: Dagster's web UI and daemon over the data directory.

What belongs here: starting them, with the sandbox beside them where the data is the demo's.
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

import click

from lms_pipeline.accounts.sync import DemoMark
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.sandbox import Clock, generated_world, running
from lms_pipeline.settings import Settings

HOST = "127.0.0.1"
SUPERSEDED = "ignore:Function `dev_command` is superseded"
"""`dg dev` takes the place of `dagster dev`, but brings a dependency on Dagster's cloud client."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Else LMS_DATA_DIR.")
def ui(port: int, data_dir: Path | None) -> None:
    """Open Dagster's web UI over the same data; after the demo with the sandbox beside it. Ctrl-C stops all."""
    from lms_pipeline.defs.event_log_sync import sync_in_background
    from lms_pipeline.defs.instance import open_instance

    _check_port(port)
    settings = Settings.load()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir.resolve()})
    with open_instance(settings) as instance, ExitStack() as beside:
        beside.enter_context(sync_in_background(instance, DataDir(settings.data_dir)))
        environment = {**os.environ, "LMS_DATA_DIR": str(settings.data_dir), "PYTHONWARNINGS": SUPERSEDED}
        if settings.token is None and DemoMark(DataDir(settings.data_dir)).is_set():
            sandbox = beside.enter_context(running(generated_world(), clock=Clock(settings.frozen_now)))
            environment |= {"TRUTO_BASE_URL": sandbox.url, "TRUTO_API_TOKEN": sandbox.token}
            environment |= {
                "LMS_TOKEN_CALLS_PER_10S": "0",
                "LMS_ACCOUNT_CALLS_PER_10S": "0",
            }  # it has no limits
            click.echo(f"The demo's sandbox is on {sandbox.url}")
        if settings.frozen_now:
            click.echo(f"LMS_NOW is set: {settings.now():%Y-%m-%d %H:%M} UTC is taken for the present.")
        click.echo(f"Dagster's UI comes up on http://{HOST}:{port}")
        command = [sys.executable, "-m", "dagster", "dev", "-h", HOST, "-p", str(port)]
        command += ["-w", str(files("lms_pipeline.defs").joinpath("workspace.yaml"))]
        status = _run_until_interrupted(command, environment)
    sys.exit(status)


def _check_port(port: int) -> None:
    """Refuse a port that is taken: Dagster's daemon would run on for ever, without a page to see it."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise WrongUseError(
            f"Port {port} can't be had ({os.strerror(error.errno or 0)}): stop what listens there, or choose another with --port."
        ) from error


def _run_until_interrupted(command: list[str], environment: dict[str, str]) -> int:
    """Run in a session of its own, so that Dagster is told to stop once, by us, whoever told us.

    A shell's `&` leaves SIGINT ignored, which Dagster would inherit, and then nothing could stop it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, start_new_session=True) as dagster:  # noqa: S603 (our own words)
        try:
            return dagster.wait()
        except KeyboardInterrupt:
            dagster.send_signal(signal.SIGINT)
            dagster.wait()
            return 0
