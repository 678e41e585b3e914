"""A synthetic fleet: accounts of many sizes and some TalentLMS portals, or accounts of one size; three of them fail.

Belongs here: the accounts and their faults. Not here: the people in them, which the sandbox generates.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from lms_pipeline.sandbox import Account, Integration
from lms_pipeline.sandbox.faults import AnyFault, Html, RevokedConnection, Status
from lms_pipeline.sandbox.synthetic.catalog import Profile
from lms_pipeline.sandbox.synthetic.world import COMPANY_ID, DEFAULT_SEED, PROFILES, TALENTLMS_ID, SyntheticWorld

COMPANY, PORTAL = PROFILES[COMPANY_ID], PROFILES[TALENTLMS_ID]
LARGE_EVERY, LARGE_HEADCOUNT = 40, 100
"""One account in 40 has some 2,700 enrollments."""
PORTAL_EVERY, PORTAL_HEADCOUNT = 20, 6
"""One in 20 is a TalentLMS portal of some 60 pairs."""
SMALL_HEADCOUNTS = (4, 5, 6, 7, 8)
"""The others have some 70 to 250 enrollments."""


@dataclass(frozen=True)
class Fleet:
    """Accounts, and the faults of three of them."""

    world: SyntheticWorld
    faults: dict[str, AnyFault]
    """Fault by account."""
    causes: dict[str, str]
    """The first words of each account's error, by account."""

    @property
    def account_ids(self) -> list[str]:
        """The ids of all accounts."""
        return [account.id for account in self.world.accounts()]

    @property
    def healthy(self) -> list[str]:
        """The ids of the accounts without a fault."""
        return [account_id for account_id in self.account_ids if account_id not in self.faults]

    @property
    def script(self) -> tuple[AnyFault, ...]:
        """The faults, for the sandbox's script."""
        return tuple(self.faults.values())


def build_fleet(count: int) -> Fleet:
    """Return a fleet of `count` accounts of many sizes, at least four. The failing ones are small and among the first."""
    accounts, profiles = [], {}
    for number in range(count):
        is_portal = number % PORTAL_EVERY == PORTAL_EVERY - 1
        account = _build_account(f"fleet-{number:04}", "talentlms" if is_portal else "coursewell")
        accounts.append(account)
        if is_portal:
            profiles[account.id] = msgspec.structs.replace(PORTAL, headcount=PORTAL_HEADCOUNT)
        elif number % LARGE_EVERY == 0:
            profiles[account.id] = msgspec.structs.replace(COMPANY, headcount=LARGE_HEADCOUNT)
        else:
            headcount = SMALL_HEADCOUNTS[number % len(SMALL_HEADCOUNTS)]
            profiles[account.id] = msgspec.structs.replace(COMPANY, headcount=headcount)
    return _add_faults(accounts, profiles)


def build_even_fleet(count: int, enrollments: int, at: datetime) -> Fleet:
    """Return a fleet of `count` accounts, at least four, that have about `enrollments` each at an instant.

    The failing ones are among the first.
    """
    accounts = [_build_account(f"fleet-{number:04}", "coursewell") for number in range(count)]
    headcount = round(enrollments / _measure_enrollments_per_person(at))
    profile = msgspec.structs.replace(COMPANY, headcount=headcount)
    return _add_faults(accounts, {account.id: profile for account in accounts})


def _measure_enrollments_per_person(at: datetime) -> float:
    """Return the enrollments of a company by its headcount: they grow with the years."""
    account = _build_account("sample", "coursewell")
    profile = msgspec.structs.replace(COMPANY, headcount=LARGE_HEADCOUNT)
    listing = SyntheticWorld(DEFAULT_SEED, [account], {account.id: profile}).view(account.id, at).enrollments()
    return len(listing.read(0, sys.maxsize).records) / LARGE_HEADCOUNT


def _add_faults(accounts: Sequence[Account], profiles: Mapping[str, Profile]) -> Fleet:
    revoked, failing, garbage = (account.id for account in accounts[1:4])
    faults: dict[str, AnyFault] = {
        revoked: RevokedConnection(account=revoked),
        failing: Status(account=failing, status=500),
        garbage: Html(account=garbage),
    }
    causes = {
        revoked: "The account's connection to its LMS is broken",
        failing: "Truto failed to answer and says 'Internal Server Error'",
        garbage: "The response is not JSON, or was cut short",
    }
    return Fleet(SyntheticWorld(DEFAULT_SEED, accounts, profiles), faults, causes)


def _build_account(account_id: str, integration: str) -> Account:
    connected = datetime(2023, 6, 1, 9, tzinfo=UTC)
    return Account(
        id=account_id,
        tenant_id=f"tenant of {account_id}",
        status="active",
        is_sandbox=False,
        integration=Integration(id=f"int-{integration}", name=integration, category="lms"),
        created_at=connected,
        updated_at=connected,
    )
