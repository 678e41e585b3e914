"""The synthetic world: its accounts, and the state of each at an instant.

Belongs here: which accounts there are, and which company and provider mapping stand behind each.
Not here: the companies themselves (`company.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from lms_pipeline.sandbox.synthetic import catalog
from lms_pipeline.sandbox.synthetic.catalog import Profile
from lms_pipeline.sandbox.synthetic.company import Company
from lms_pipeline.sandbox.synthetic.provider import SweepView
from lms_pipeline.sandbox.synthetic.talentlms import build_portal
from lms_pipeline.sandbox.world import Account, Integration, SandboxError, View

DEFAULT_SEED = 2026

ACADEMY_ID = "5b0f6a52-6c1e-4d7b-9a35-0c6f1f7d2a10"
COMPANY_ID = "8c2d1e94-3f57-4b86-b1c8-7e0a95d4c321"
GROUP_ID = "d41a7b36-98e0-4c25-8f63-2b9c04e7f532"
TALENTLMS_ID = "62f44730-dd91-461e-bd6a-aedd9e0ad79d"
BROKEN_ID = "a7e95c08-1b42-4f9d-93d7-5d608b3fe643"
CRM_ID = "f03b8d61-72ac-4e18-a5f4-c91e67d08754"


def _account(account_id: str, tenant: str, integration: str, category: str = "lms", status: str = "active") -> Account:
    return Account(
        id=account_id,
        tenant_id=tenant,
        status=status,
        is_sandbox=False,
        integration=Integration(id=f"int-{integration}", name=integration, category=category),
        created_at=datetime(2022, 11, 7, 9, 30, tzinfo=UTC),
        updated_at=datetime(2023, 12, 4, 16, 5, tzinfo=UTC),
    )


ACCOUNTS = (
    _account(ACADEMY_ID, "lumen-academy", "brightpath"),
    _account(COMPANY_ID, "harbour-freight-lines", "coursewell"),
    _account(GROUP_ID, "meridian-health-group", "learnharbor"),
    _account(TALENTLMS_ID, "olive-grove-foods", "talentlms"),
    _account(BROKEN_ID, "quarry-and-sons", "coursewell", status="needs_reauth"),
    _account(CRM_ID, "lumen-academy", "dealbook", category="crm"),
)

PROFILES = {
    ACADEMY_ID: Profile(
        "lumen.example.org", headcount=60, yearly_turnover=0.5, zone="Europe/Paris", electives_per_person=7,
        electives=catalog.DIPLOMAS + catalog.ELECTIVES,
    ),
    COMPANY_ID: Profile(
        "harbour.example.org", headcount=300, yearly_turnover=0.15, zone="America/Chicago", electives_per_person=1.5,
        yearly=catalog.YEARLY, onboarding=catalog.ONBOARDING, reports_overdue=True,
    ),
    GROUP_ID: Profile(
        "meridian.example.org", headcount=1500, yearly_turnover=0.12, zone="Asia/Singapore", electives_per_person=1.5,
        yearly=catalog.YEARLY[:4], onboarding=catalog.ONBOARDING,
    ),
    TALENTLMS_ID: Profile(
        "olive.example.org", headcount=80, yearly_turnover=0.1, zone="Europe/Athens", electives_per_person=1.2,
        yearly=catalog.YEARLY[1:3], onboarding=catalog.ONBOARDING[:1], electives=catalog.ELECTIVES[:16], has_editions=True,
    ),
}  # fmt: skip
"""The companies behind the active LMS accounts."""


class SyntheticWorld:
    """Accounts whose state depends on the seed and the instant, and on nothing else."""

    def __init__(self, seed: int, accounts: Sequence[Account], profiles: Mapping[str, Profile]) -> None:
        self._accounts = {account.id: account for account in accounts}
        self._companies = {
            account_id: Company(seed, account_id, profiles[account_id])
            for account_id in self._accounts
            if account_id in profiles
        }
        self._views: dict[str, tuple[datetime, View]] = {}

    def accounts(self) -> Sequence[Account]:
        """Return all accounts, also those without a company."""
        return list(self._accounts.values())

    def view(self, account_id: str, at: datetime) -> View:
        """Return the state of an account that has a company; the latest one is cached."""
        second = at.replace(microsecond=0)
        cached = self._views.get(account_id)
        if cached is None or cached[0] != second:
            company = self._companies[account_id]
            company.grow(second)
            build = build_portal if self._accounts[account_id].requires_pair else SweepView
            cached = self._views[account_id] = (second, build(company, second))
        return cached[1]


def generated_world(seed: int = DEFAULT_SEED, accounts: Sequence[str] | None = None) -> SyntheticWorld:
    """Build the world of a seed, with all accounts or those with the given ids.

    Raises:
        SandboxError: there is no such account.
    """
    known = {account.id: account for account in ACCOUNTS}
    chosen = list(known) if accounts is None else accounts
    if unknown := [account_id for account_id in chosen if account_id not in known]:
        raise SandboxError(f"The synthetic world has no account {unknown[0]}: it has {', '.join(known)}.")
    return SyntheticWorld(seed, [known[account_id] for account_id in chosen], PROFILES)
