"""The generated world: its accounts, each with its company and the dialect that tells of it.

What belongs here: putting companies, dialects and instants together into what the server asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.listing import Listing
from lms_pipeline.sandbox.synthetic.company import Company
from lms_pipeline.sandbox.synthetic.instants import seconds_of
from lms_pipeline.sandbox.synthetic.plain import Plain
from lms_pipeline.sandbox.synthetic.profiles import ACCOUNTS, PROFILES
from lms_pipeline.sandbox.synthetic.talentlms import TalentLms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lms_pipeline.sandbox.synthetic.dialect import Dialect
    from lms_pipeline.sandbox.synthetic.lives import Life
    from lms_pipeline.sandbox.synthetic.profiles import Profile
    from lms_pipeline.sandbox.world import Account, Record

DEFAULT_SEED = 2026


class CompanyView:
    """A company at an instant, told in a dialect; a record is made when it is served."""

    def __init__(self, company: Company, dialect: Dialect, at: int) -> None:
        self._company = company
        self._dialect = dialect
        self._at = at

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """The enrollments in the order in which they were first told of."""
        if user_id is None and course_id is None:
            return self._told(self._company.lives, self._company.lives_until(self._at))
        person = self._person(user_id) if user_id is not None else None
        course = self._course(course_id) if course_id is not None else None
        if (user_id is not None and person is None) or (course_id is not None and course is None):
            return Listing.of([])
        found = self._company.lives_of(self._at, person=person, course=course)
        return self._told(found, len(found))

    def users(self) -> Listing:
        """The people in the order in which they joined."""
        people = self._company.people
        count = self._company.people_until(self._at)
        return Listing(count, lambda place: self._dialect.user(people[place], self._at))

    def courses(self) -> Listing:
        """The courses in the order in which they were made."""
        courses = self._company.courses
        count = self._company.courses_until(self._at)
        return Listing(count, lambda place: self._dialect.course(courses[place], self._at))

    def user(self, user_id: str) -> Record | None:
        """A person who has joined."""
        place = self._person(user_id)
        return None if place is None else self._dialect.user_in_full(self._company.people[place], self._at)

    def course(self, course_id: str) -> Record | None:
        """A course that there is."""
        place = self._course(course_id)
        return None if place is None else self._dialect.course_in_full(self._company.courses[place], self._at)

    def _told(self, lives: Sequence[Life], count: int) -> Listing:
        tell, at = self._dialect.enrollment, self._at
        return Listing(count, lambda place: tell(lives[place], at))

    def _person(self, user_id: str) -> int | None:
        return self._dialect.users.number(user_id, self._company.people_until(self._at))

    def _course(self, course_id: str) -> int | None:
        return self._dialect.courses.number(course_id, self._company.courses_until(self._at))


class GeneratedWorld:
    """Accounts whose state follows from the seed and the instant alone."""

    def __init__(self, seed: int, accounts: Sequence[Account], profiles: Mapping[str, Profile]) -> None:
        self._accounts = accounts
        self._companies = {
            account.id: Company(seed, account.id, profiles[account.id])
            for account in accounts
            if account.id in profiles
        }
        self._dialects: dict[str, Dialect] = {
            account.id: (TalentLms if account.demands_pair else Plain)(self._companies[account.id])
            for account in accounts
            if account.id in self._companies
        }

    def accounts(self) -> Sequence[Account]:
        """The accounts, the broken one and the one that is no LMS among them."""
        return self._accounts

    def view(self, account_id: str, at: datetime) -> CompanyView:
        """The state of an account that can be asked."""
        company, seconds = self._companies[account_id], seconds_of(at)
        company.grow(seconds)
        return CompanyView(company, self._dialects[account_id], seconds)


def generated_world(seed: int = DEFAULT_SEED, accounts: Sequence[str] | None = None) -> GeneratedWorld:
    """The world of a seed, or of its accounts only those whose ids are given.

    Raises:
        SandboxError: where there is no such account.
    """
    known = {account.id: account for account in ACCOUNTS}
    chosen = list(known) if accounts is None else list(accounts)
    if unknown := [account_id for account_id in chosen if account_id not in known]:
        raise SandboxError(f"The generated world has no account {unknown[0]}: it has {', '.join(known)}.")
    return GeneratedWorld(seed, [known[account_id] for account_id in chosen], PROFILES)
