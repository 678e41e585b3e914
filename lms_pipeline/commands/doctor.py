"""`lms-pipeline doctor`: how a live account behaves where the docs don't tell.

What belongs here: arguments, and what is printed. The questions are `extract/doctor.py`.
"""

from __future__ import annotations

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lms_pipeline.accounts.registry import Registry, display_names
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings


@click.command()
@click.option("--account", "account_id", metavar="ID", help="The account; the only active one if not given.")
def doctor(account_id: str | None) -> None:
    """See how an account of a live Truto behaves where its docs leave it open, in about fifteen calls.

    Nothing is stored, and no name, address or id of anybody is shown.
    """
    from lms_pipeline.connection import Truto
    from lms_pipeline.extract.doctor import Doctor

    settings = Settings.load()
    registry = Registry(DataDir(settings.data_dir).registry)
    active = registry.active()
    if account_id is None and len(active) != 1:
        raise WrongUseError(f"There are {len(active)} active accounts: name one with --account ID.")
    account = registry.get(account_id) if account_id else active[0]
    with Truto(settings).connect() as client:
        found = Doctor(client, account.id).examine()
        requests = client.requests
    title = f"{display_names(settings)[account.id]}, {requests} calls"
    table = Table("question", "answer", title=title, title_justify="left", box=box.SIMPLE)
    for one in found:
        table.add_row(one.question, Text(one.answer))  # `user[id]` is no markup
    Console(width=None if Console().is_terminal else 160).print(table)
