"""What the settings say about the metrics of one account.

Belongs here: excluded roles and rules, loaded together. Not here: how they change the figures (`sql/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lms_pipeline.accounts.options import AccountOptions, load_options, resolve_excluded_roles
from lms_pipeline.accounts.rules import Rule, load_rules, select_rules
from lms_pipeline.settings import Settings
from lms_pipeline.tables.roles import EXCLUDED_ROLES


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """The options of an account, as of now: also for the metrics of a day that was pulled before they were set."""

    excluded_roles: Sequence[str] = EXCLUDED_ROLES
    """Roles whose enrollments are left out, whatever their case and blanks."""
    rules: Mapping[int, Rule] = field(default_factory=dict)
    """The rules in force for the account, by their number in the file."""

    @classmethod
    def load(cls, settings: Settings, account_id: str) -> MetricOptions:
        """Load the options of an account.

        Raises:
            SettingsError: `LMS_ACCOUNTS_FILE` or `LMS_RULES_FILE` can't be used.
        """
        account = load_options(settings).get(account_id, AccountOptions())
        rules = select_rules(load_rules(settings.rules_file), account_id)
        return cls(resolve_excluded_roles(settings, account), rules)
