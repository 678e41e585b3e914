"""The `lms-pipeline` command: the entry point, its subcommands, and how errors are printed.

Belongs here: dispatch and exit statuses. Not here: the subcommands (`commands/`), which are imported on use so that
`--help` is fast.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

from lms_pipeline import __version__
from lms_pipeline.commands.terminal import echo
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.truto.log_filter import install_logging_filters

COMMANDS = {
    "demo": "Run the whole pipeline against a local Truto and print completion rates",
    "sandbox": "Serve the local Truto until interrupted",
    "accounts": "Manage the accounts to pull: list, sync, add, remove",
    "materialize": "Pull days and compute their metrics, as in the UI",
    "query": "Run a read-only SQL query on the warehouse",
    "doctor": "Test how an account of a live Truto behaves, with few calls",
    "replay": "Transform the stored responses of a day again, without a call",
    "housekeeping": "Remove expired files, or list them",
    "ui": "Start Dagster's web UI on the same data",
}


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command or its help is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command from the module of its name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"lms_pipeline.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lms-pipeline")
@click.option("--debug", is_flag=True, help="Show tracebacks and log messages.")
def lms_pipeline(debug: bool) -> None:
    """Every learner's course status, every day, from every connected LMS, as Parquet.

    Reads its settings from the environment and from .env; see docs/settings.md.
    """
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines contain whole URLs


def main() -> None:
    """Run the command. Print an error as one sentence; exit with 1 on a failure, with 2 on wrong use."""
    os.umask(0o077)  # `lake/access.py` applies LMS_SHARE
    install_logging_filters()
    try:
        lms_pipeline(prog_name="lms-pipeline", standalone_mode=True)
    except BrokenPipeError:  # the reader, like `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LmsPipelineError as error:
        if "--debug" in sys.argv:
            raise
        echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, WrongUseError) else 1)
    except Exception as error:  # the edge of the process: for example a full disk under Dagster's log
        if "--debug" in sys.argv:
            raise
        details, *_ = str(error).strip().splitlines() or ["no details"]
        problem = f"{type(error).__name__}: {details}"
        echo(f"Error: {problem}; check the disk of LMS_DATA_DIR, or add --debug for a traceback.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
