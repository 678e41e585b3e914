"""The accounts of the generated world and what sort of place stands behind each.

What belongs here: plain descriptions. How a company grows from one is `company.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from lms_pipeline.sandbox.synthetic import titles
from lms_pipeline.sandbox.world import Account, Integration

ACADEMY_ID = "5b0f6a52-6c1e-4d7b-9a35-0c6f1f7d2a10"
COMPANY_ID = "8c2d1e94-3f57-4b86-b1c8-7e0a95d4c321"
GROUP_ID = "d41a7b36-98e0-4c25-8f63-2b9c04e7f532"
TALENTLMS_ID = "62f44730-dd91-461e-bd6a-aedd9e0ad79d"
BROKEN_ID = "a7e95c08-1b42-4f9d-93d7-5d608b3fe643"
CRM_ID = "f03b8d61-72ac-4e18-a5f4-c91e67d08754"


class Profile(msgspec.Struct, frozen=True):
    """What makes a company: how many learn there, what, and how its LMS tells it."""

    domain: str
    headcount: int
    """People from the beginning; who leaves is replaced."""
    yearly_turnover: float
    """The share of people who leave, and join, within a year."""
    zone: str
    """The time zone of the portal: working hours, and the dates that a portal tells as text."""
    electives_per_person: float
    """Courses that a person takes on in a year by their own choice."""
    yearly: tuple[str, ...] = ()
    onboarding: tuple[str, ...] = ()
    programmes: tuple[str, ...] = ()
    electives: tuple[str, ...] = titles.ELECTIVES
    has_editions: bool = False
    """Whether a yearly training is a new course each year, instead of a new enrollment in the same course."""
    tells_overdue: bool = False
    """Whether its LMS has the status `overdue`, or tells the due date alone."""


def _account(
    account_id: str, tenant: str, integration: str, category: str, status: str = "active"
) -> Account:
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
    _account(ACADEMY_ID, "lumen-academy", "brightpath", "lms"),
    _account(COMPANY_ID, "harbour-freight-lines", "coursewell", "lms"),
    _account(GROUP_ID, "meridian-health-group", "learnharbor", "lms"),
    _account(TALENTLMS_ID, "olive-grove-foods", "talentlms", "lms"),
    _account(BROKEN_ID, "quarry-and-sons", "coursewell", "lms", status="needs_reauth"),
    _account(CRM_ID, "lumen-academy", "dealbook", "crm"),
)

PROFILES = {
    ACADEMY_ID: Profile(
        domain="lumen.example.org",
        headcount=60,
        yearly_turnover=0.5,
        zone="Europe/Paris",
        electives_per_person=2.5,
        programmes=titles.PROGRAMMES,
    ),
    COMPANY_ID: Profile(
        domain="harbour.example.org",
        headcount=300,
        yearly_turnover=0.15,
        zone="America/Chicago",
        electives_per_person=1.5,
        yearly=titles.YEARLY,
        onboarding=titles.ONBOARDING,
        tells_overdue=True,
    ),
    GROUP_ID: Profile(
        domain="meridian.example.org",
        headcount=1500,
        yearly_turnover=0.12,
        zone="Asia/Singapore",
        electives_per_person=1.5,
        yearly=titles.YEARLY[:4],
        onboarding=titles.ONBOARDING,
    ),
    TALENTLMS_ID: Profile(
        domain="olive.example.org",
        headcount=80,
        yearly_turnover=0.1,
        zone="Europe/Athens",
        electives_per_person=1.2,
        yearly=titles.YEARLY[1:3],
        onboarding=titles.ONBOARDING[:1],
        electives=titles.ELECTIVES[:16],
        has_editions=True,
    ),
}
"""What stands behind the accounts that can be asked."""
