"""The `lms-pipeline` command: its subcommands, and how an error is told.

What belongs here: the entry point. Each subcommand lives in `commands/`, imported when it is asked for, so that
`--help` is quick.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

from lms_pipeline import __version__
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.truto.log_filter import install_logging_filters

COMMANDS = {
    "demo": "Run the whole pipeline against a local Truto, and show completion rates",
    "sandbox": "Serve the local Truto until interrupted",
    "accounts": "The accounts we know: list, sync, add, remove",
    "materialize": "Pull days and work out their metrics, as the UI does",
    "query": "Ask the warehouse in SQL, read-only",
    "doctor": "See how an account of a live Truto behaves, with as few calls as it takes",
    "replay": "Flatten the kept answers of a day again, without a call",
    "housekeeping": "Remove what is past its time; or say what that would be",
    "ui": "Dagster's web UI over the same data",
}


class _Commands(click.Group):
    """Commands whose modules are imported when they are run or explained."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the table above."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command `cmd_name` of its module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"lms_pipeline.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lms-pipeline")
@click.option("--debug", is_flag=True, help="Show tracebacks, and what is logged on the way.")
def lms_pipeline(debug: bool) -> None:
    """Every learner's course status, every day, from every connected LMS, as Parquet.

    Settings come from the environment and from .env; see the README.
    """
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines hold whole URLs


def main() -> None:
    """Run the command; an error of ours is one sentence, 1 where something failed and 2 where the use was wrong."""
    install_logging_filters()
    try:
        lms_pipeline(standalone_mode=True)
    except BrokenPipeError:  # who reads us, `head` for instance, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LmsPipelineError as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, WrongUseError) else 1)
    except Exception as error:  # the process's edge: a full disk under Dagster's log, for instance
        if "--debug" in sys.argv:
            raise
        what = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no more is known'}"
        click.echo(f"Error: {what}; look at the disk of LMS_DATA_DIR, or add --debug to see where.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
