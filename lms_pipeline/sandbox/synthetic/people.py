"""The people of a company.

What belongs here: who there is, what they are called, when they come and go. What they learn is `company.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.synthetic import names
from lms_pipeline.sandbox.synthetic.instants import DAY, NEVER

if TYPE_CHECKING:
    from random import Random

_NAMELESS = 0.01
_WITHOUT_EMAIL = 0.02
_WITH_SECOND_EMAIL = 0.05


class Email(msgspec.Struct, frozen=True):
    """An e-mail address as the unified API tells it."""

    email: str
    is_primary: bool
    type: str


class Person(msgspec.Struct, frozen=True):
    """Somebody who learns; `number` is their place in the company's list."""

    number: int
    given: str
    family: str
    name: str | None
    login: str
    emails: tuple[Email, ...]
    department: str
    joined_at: int
    left_at: int
    diligence: float
    """Multiplies the odds of finishing a course."""

    def is_there(self, at: int) -> bool:
        """Whether they belong to the company at an instant."""
        return self.joined_at <= at and (self.left_at == NEVER or at < self.left_at)


class Recruiter:
    """Draws people, no two with the same login."""

    def __init__(self, domain: str, yearly_turnover: float) -> None:
        self._domain = domain
        self._turnover = yearly_turnover
        self._bearers: dict[str, int] = {}

    def draw(self, draw: Random, number: int, joined_at: int, there_at: int) -> Person:
        """Somebody who joins at `joined_at` and doesn't leave before `there_at`."""
        language = names.WESTERN if draw.random() < 0.5 else draw.choice(names.ALL_NAMES)
        given, given_ascii = draw.choice(language.given)
        family, family_ascii = draw.choice(language.family)
        login = self._login(f"{given_ascii}.{family_ascii}")
        stays = draw.expovariate(self._turnover) * 365 * DAY
        return Person(
            number=number,
            given=given,
            family=family,
            name=None if draw.random() < _NAMELESS else language.full(given, family),
            login=login,
            emails=self._emails(draw, login),
            department=draw.choice(names.DEPARTMENTS),
            joined_at=joined_at,
            left_at=there_at + DAY + int(stays),
            diligence=draw.uniform(0.75, 1.1),
        )

    def _login(self, wanted: str) -> str:
        self._bearers[wanted] = bearer = self._bearers.get(wanted, 0) + 1
        return wanted if bearer == 1 else f"{wanted}{bearer}"

    def _emails(self, draw: Random, login: str) -> tuple[Email, ...]:
        dice = draw.random()
        if dice < _WITHOUT_EMAIL:
            return ()
        work = Email(f"{login}@{self._domain}", is_primary=True, type="work")
        if dice < _WITHOUT_EMAIL + _WITH_SECOND_EMAIL:
            return Email(f"{login}@mail.example.org", is_primary=False, type="personal"), work
        return (work,)
