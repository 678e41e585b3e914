"""What people call the accounts.

What belongs here: choosing between the name that was set and Truto's, for messages of every kind.
"""

from __future__ import annotations

from lms_pipeline.accounts.options import read_options
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings


def account_names(settings: Settings) -> dict[str, str]:
    """What people call the accounts of the registry, by id."""
    options = read_options(settings.accounts_file)
    accounts = Registry(DataDir(settings.data_dir).registry).accounts()
    chosen = {account_id: of.name for account_id, of in options.items() if of.name}
    return {account.id: chosen.get(account.id, account.name) for account in accounts}
