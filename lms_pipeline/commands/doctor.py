"""`lms-pipeline doctor`: how a live account behaves where the API's docs are silent.

Belongs here: arguments and output. Not here: the questions (`extract/doctor.py`).
"""

from __future__ import annotations

import click
from rich import box
from rich.table import Table

from lms_pipeline.accounts.names import find_account, load_display_names
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.commands.common import load_settings, warn_of_unregistered_options
from lms_pipeline.commands.terminal import build_cell, print_table
from lms_pipeline.errors import WrongUseError, format_count


@click.command()
@click.option("--account", "account_id", metavar="ID", help="The account. Default: the only active one.")
def doctor(account_id: str | None) -> None:
    """Test how an account of a live Truto behaves where its docs are silent, in about fifteen calls.

    Stores nothing and prints no name, e-mail address or id of a person.
    """
    from lms_pipeline.connection import Truto
    from lms_pipeline.extract.doctor import Doctor

    settings = load_settings()
    warn_of_unregistered_options(settings)
    active = Registry.open(settings).read_active()
    if account_id is None and not active:
        raise WrongUseError("No account is active: add some with `lms-pipeline accounts sync` or `accounts add`.")
    if account_id is None and len(active) != 1:
        raise WrongUseError(f"There are {len(active)} active accounts: name one with --account ID.")
    account = find_account(settings, account_id) if account_id else active[0]
    with Truto(settings).connect() as client:
        answers = Doctor(client, account.id).examine()
        requests = client.requests
    title = build_cell(f"{load_display_names(settings)[account.id]}, {format_count(requests, 'call')}")
    table = Table("question", "answer", title=title, title_justify="left", box=box.SIMPLE)
    for question, answer in answers.items():
        table.add_row(question, build_cell(answer))
    print_table(table)
