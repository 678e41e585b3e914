"""Names of accounts for people, and the account that a person means.

Belongs here: what an account is called, and the refusal of a name where an id is needed. Not here: which accounts exist
(`registry.py`), and the option that names one (`options.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lms_pipeline.accounts.options import load_options
from lms_pipeline.accounts.registry import RegisteredAccount, Registry, UnknownAccountError
from lms_pipeline.lake.paths import BadIdError
from lms_pipeline.settings import Settings


def load_display_names(settings: Settings) -> dict[str, str]:
    """Return the accounts' names for people by id: the option `name`, else the name in the registry.

    A name that several accounts have is followed by the id of each: a customer may have two LMSs.
    """
    names = _load_names(settings, Registry.open(settings).read_accounts())
    counts = Counter(names.values())
    return {one: name if counts[name] == 1 else f"{name} ({one})" for one, name in names.items()}


def _load_names(settings: Settings, accounts: Sequence[RegisteredAccount]) -> dict[str, str]:
    chosen = {account_id: options.name for account_id, options in load_options(settings).items() if options.name}
    return {account.id: chosen.get(account.id, account.name) for account in accounts}


def find_id_by_name(settings: Settings, text: str) -> str | None:
    """Return the id of the only account with this name, in any case; None if there is none, or the text is an id.

    The name is the option `name` or that of the registry.

    Raises:
        SettingsError: `LMS_ACCOUNTS_FILE` can't be used.
    """
    accounts = Registry.open(settings).read_accounts()
    shown = _load_names(settings, accounts)
    if any(account.id == text for account in accounts):
        return None
    name = text.strip().casefold()
    found = [one.id for one in accounts if name in {one.name.strip().casefold(), shown[one.id].strip().casefold()}]
    return found[0] if len(found) == 1 else None


def refuse_name(settings: Settings, text: str) -> None:
    """Refuse the name of an account in place of its id.

    Raises:
        UnknownAccountError: with the id.
    """
    if (account_id := find_id_by_name(settings, text)) is not None:
        raise UnknownAccountError(f"{text!r} is the name of {account_id}: use the id.")


def find_account(settings: Settings, account_id: str) -> RegisteredAccount:
    """Return the account with this id, for a command.

    Raises:
        BadIdError: the id is invalid.
        UnknownAccountError: no account has this id; the message says so if it is the name of one.
    """
    try:
        return Registry.open(settings).get(account_id)
    except (BadIdError, UnknownAccountError):
        refuse_name(settings, account_id)
        raise
