"""The certificates that a TalentLMS portal issues to who completes a yearly training.

What belongs here: which courses certify, and what a certificate says, as the examples of the API show it. Where it is
told is `portal.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from lms_pipeline.sandbox.synthetic import portal_values
from lms_pipeline.sandbox.synthetic.instants import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lms_pipeline.sandbox.synthetic.company import Company
    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.lives import Life, State

_YEARS = 1
"""A training that comes every year certifies until the next one."""


def certification(course: Course) -> dict[str, str | None]:
    """What a course says of its certificate: null where it has none, else a guess, as the examples show no other."""
    if not course.is_mandatory:
        return {"certification": None, "certification_duration": None}
    return {"certification": "Classic", "certification_duration": f"{_YEARS} year"}


def certificates(company: Company, roster: Iterable[tuple[Life, State]]) -> list[dict[str, str]]:
    """The certificates of a learner's courses; those that have expired stay."""
    return [
        _certificate(company, life, state.completed_at)
        for life, state in roster
        if company.courses[life.course].is_mandatory and state.completed_at != NEVER
    ]


def _certificate(company: Company, life: Life, completed_at: int) -> dict[str, str]:
    course_id, domain = portal_values.COURSE_IDS.of(life.course), company.profile.domain
    unique_id = _unique_id(f"{domain} {course_id} {portal_values.USER_IDS.of(life.person)} {completed_at}")
    issued_on = datetime.fromtimestamp(completed_at, company.zone).date()
    url = f"https://learn.{domain}/certificates/{unique_id}"
    return {
        "course_id": course_id,
        "course_name": portal_values.entities(company.courses[life.course].title),
        "unique_id": unique_id,
        "issued_date": portal_values.text_day(issued_on),
        "expiration_date": portal_values.text_day(_expiration(issued_on)),
        "download_url": f"{url}/download",
        "public_url": url,
    }


def _expiration(issued_on: date) -> date:
    """The same day of a later year, and the first of March for a 29 February that isn't there."""
    if (issued_on.month, issued_on.day) == (2, 29):
        return date(issued_on.year + _YEARS, 3, 1)
    return issued_on.replace(year=issued_on.year + _YEARS)


def _unique_id(told: str) -> str:
    """Sixteen hexadecimal digits in groups of four: `5c45-01a0-f1f4-7687`."""
    digits = sha256(told.encode()).hexdigest()
    return "-".join(digits[place : place + 4] for place in range(0, 16, 4))
