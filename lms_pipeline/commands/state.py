"""`lms-pipeline state`: the registry as a file, to move an installation and for backups.

Belongs here: arguments, output, and the file. Not here: the registry (`accounts/registry.py`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import msgspec

from lms_pipeline.accounts.registry import RegisteredAccount, Registry, decode_accounts, encode_accounts
from lms_pipeline.commands.common import load_settings
from lms_pipeline.errors import WrongUseError, format_count
from lms_pipeline.lake.paths import BadIdError, check_account_id
from lms_pipeline.storage.disk import atomic_write, find_target


@click.group()
def state() -> None:
    """Copy the registry of accounts into a file, or from one: between a disk and LMS_STATE_URL, or as a backup."""


@state.command("export")
@click.argument("file", type=click.Path(path_type=Path))
def export_state(file: Path) -> None:
    """Write all accounts of the registry to FILE, as JSON in the format of state/accounts.json.

    A file that exists is replaced as a whole, and folders that are missing are made.
    """
    target = find_target(file, "The registry")
    accounts = Registry.open(load_settings()).read_accounts()
    with atomic_write(target) as new:
        new.write_bytes(encode_accounts(accounts))
    click.echo(f"Wrote {format_count(len(accounts), 'account')} to {file}.")


@state.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Remove all accounts from the registry first.")
def import_state(file: Path, *, replace: bool) -> None:
    """Read the accounts of FILE, which `state export` wrote or which is a state/accounts.json, into the registry.

    Exits with 2 and changes nothing if the registry has accounts.
    """
    accounts = _read_file(file)
    Registry.open(load_settings()).replace_all(accounts, only_if_empty=not replace)
    click.echo(f"Read {format_count(len(accounts), 'account')} from {file}.")


def _read_file(file: Path) -> list[RegisteredAccount]:
    """Return the accounts of a file.

    Raises:
        WrongUseError: it can't be read, or does not hold accounts.
    """
    try:
        accounts = decode_accounts(file.read_bytes())
        for account in accounts:
            check_account_id(account.id)
    except OSError as error:
        raise WrongUseError(f"{file} can't be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, BadIdError):
        raise WrongUseError(
            f"{file} does not hold the accounts of a registry: use a file that `lms-pipeline state export` wrote."
        ) from None
    [(account_id, count)] = Counter(account.id for account in accounts).most_common(1) or [("", 0)]
    if count > 1:
        raise WrongUseError(f"{file} has account {account_id} {count} times: remove all but one.")
    return accounts
