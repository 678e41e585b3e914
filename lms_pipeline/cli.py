"""The `lms-pipeline` command: the entry point, its subcommands, and how errors are printed.

Belongs here: dispatch and exit statuses. Not here: the subcommands (`commands/`), which are imported on use so that
`--help` is fast.
"""

from __future__ import annotations

import logging
import os
import signal
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
    "rules": "Print the rules for courses, which courses they match, and what is wrong with them",
    "query": "Run a read-only SQL query on the warehouse",
    "report": "Write the completion report, one HTML file",
    "doctor": "Test how an account of a live Truto behaves, with few calls",
    "replay": "Transform the stored responses of a day again, without a call",
    "housekeeping": "Remove expired files, or list them",
    "state": "Copy the registry of accounts into a file, or from one",
    "ui": "Start Dagster's web UI on the same data",
}
DAMAGED = "is damaged: move `history` and `schedules` away, and the next command makes them again and reports the published files"
UNUSABLE = "can't be opened for writing: check who owns it, whether its disk is read-only, and that no folder stands in its place"
FULL = "can't be written: its disk is full or fails; free some space"
DATABASE_PROBLEMS = {
    "file is not a database": DAMAGED,
    "malformed": DAMAGED,
    "unable to open database file": UNUSABLE,
    "readonly database": UNUSABLE,
    "disk is full": FULL,
    "disk I/O error": FULL,
}
"""What is wrong with Dagster's database, by the text of SQLite."""


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, as `click.Group` does; the error of an unknown one names those like it."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

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
        sys.exit(lms_pipeline.main(prog_name="lms-pipeline", standalone_mode=False))
    except BrokenPipeError:  # the reader, like `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LmsPipelineError as error:
        if "--debug" in sys.argv:
            raise
        echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, WrongUseError) else 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        echo("Interrupted.", err=True)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:  # the edge of the process: for example a full disk under Dagster's log
        if "--debug" in sys.argv:
            raise
        echo(f"Error: {_describe(error)}", err=True)
        sys.exit(1)


def _describe(error: Exception) -> str:
    """Return the sentence for an unexpected error. Most of them are those of Dagster's database."""
    details, *_ = str(error).strip().splitlines() or ["no details"]
    if type(error).__module__.startswith("sqlalchemy."):
        home = os.environ.get("DAGSTER_HOME", "DAGSTER_HOME")
        for text, sentence in DATABASE_PROBLEMS.items():
            if text in details:
                return f"Dagster's database in {home} {sentence}."
    return f"{type(error).__name__}: {details}; check the disk of LMS_DATA_DIR, or add --debug for a traceback."


if __name__ == "__main__":
    main()
