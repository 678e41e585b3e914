"""A company of the synthetic world: its people, courses and enrollments, drawn year by year.

Belongs here: who joins, which courses there are, who enrolls when. Not here: what follows from an enrollment
(`history.py`). A year only appends to the lists, so that the state at an instant is the beginning of each list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from operator import attrgetter
from random import Random
from threading import Lock

import msgspec

from lms_pipeline.days import load_zone
from lms_pipeline.sandbox.synthetic import catalog
from lms_pipeline.sandbox.synthetic.catalog import Course, Kind, Profile
from lms_pipeline.sandbox.synthetic.history import History, Start, draw_history, draw_working_time

FIRST_YEAR, LAST_YEAR = 2023, 2035
"""2023 is drawn so that 2024 doesn't begin empty; after 2035 nothing new begins."""

MAX_SENIORITY_DAYS = 5 * 365
"""How long before the first year its staff joined at most."""
FIRST_DAY, LAST_DAY = 3.0, 360.0
"""Days of a year on which something begins: moved to a Monday, or to another time zone, it stays in its year."""
FIRST_ELECTIVES, YEARLY_ELECTIVES = 10, 3
WAVES = 4
"""A yearly training is assigned to a quarter of the staff at a time, so that something is due all year round."""
DUE_DAYS, NEW_PERSON_DUE_DAYS = 60, 30
POPULARITY = 1.6
"""The larger, the more people choose the first electives."""

NAMELESS_SHARE = 0.01
NO_EMAIL_SHARE = 0.02
SECOND_EMAIL_SHARE = 0.05


class Email(msgspec.Struct, frozen=True):
    """An e-mail address as the unified API writes it."""

    email: str
    is_primary: bool
    type: str


class Person(msgspec.Struct, frozen=True):
    """A learner; `name` is None if the LMS has no full name."""

    given: str
    family: str
    name: str | None
    login: str
    emails: tuple[Email, ...]
    department: str
    joined_at: datetime
    left_at: datetime
    diligence: float
    """Multiplies the odds of finishing a course."""

    def is_present(self, at: datetime) -> bool:
        """Return whether the person works here at an instant."""
        return self.joined_at <= at < self.left_at


class Company:
    """People, courses and histories, each ordered by the instant at which the LMS first lists them."""

    def __init__(self, seed: int, account_id: str, profile: Profile) -> None:
        self.profile = profile
        self.zone = load_zone(profile.zone)
        self.people: list[Person] = []
        self.courses: list[Course] = []
        self.histories: list[History] = []
        self._name = f"{seed} {account_id}"
        self._next_year = FIRST_YEAR
        self._lock = Lock()
        self._logins: Counter[str] = Counter()
        self._chosen: set[tuple[int, int]] = set()

    def grow(self, at: datetime) -> None:
        """Draw everything that begins until `at`, each year once, from the seed and the years before it."""
        with self._lock:
            while self._next_year <= min(at.year, LAST_YEAR):
                self._draw_year(self._next_year)
                self._next_year += 1

    def find_people(self, at: datetime) -> Sequence[Person]:
        """Return the people who have joined, also those who have left since."""
        return self.people[: bisect_right(self.people, at, key=attrgetter("joined_at"))]

    def find_courses(self, at: datetime) -> Sequence[Course]:
        """Return the courses that exist."""
        return self.courses[: bisect_right(self.courses, at, key=attrgetter("created_at"))]

    def find_histories(self, at: datetime) -> Sequence[History]:
        """Return the histories that have begun."""
        return self.histories[: bisect_right(self.histories, at, key=attrgetter("start.created_at"))]

    def _draw_year(self, year: int) -> None:
        draw = Random(f"{self._name} {year}")  # noqa: S311 - a made-up world, the same for the same seed
        first, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
        self._draw_people(draw, first)
        self._draw_courses(draw, first)
        starts = [start for start in self._draw_starts(draw, first) if first <= start.created_at < end]
        starts.sort(key=attrgetter("created_at"))
        for start in starts:
            course = self.courses[start.course]
            self.histories.append(draw_history(draw, len(self.histories), start, course, self.zone))

    def _draw_people(self, draw: Random, first: datetime) -> None:
        headcount, turnover = self.profile.headcount, self.profile.yearly_turnover
        days = [draw.uniform(FIRST_DAY, LAST_DAY) for _ in range(round(headcount * turnover))]
        if first.year == FIRST_YEAR:
            days += [draw.uniform(-MAX_SENIORITY_DAYS, -1) for _ in range(headcount)]
        for joined_at in sorted(self._draw_instant(draw, first, day) for day in days):
            self.people.append(self._draw_person(draw, joined_at, max(joined_at, first)))

    def _draw_person(self, draw: Random, joined_at: datetime, stays_until: datetime) -> Person:
        language = catalog.WESTERN if draw.random() < 0.5 else draw.choice(catalog.ALL_NAMES)
        given, given_ascii = draw.choice(language.given)
        family, family_ascii = draw.choice(language.family)
        login = f"{given_ascii}.{family_ascii}"
        self._logins[login] += 1
        if (namesakes := self._logins[login]) > 1:
            login = f"{login}{namesakes}"
        stay = timedelta(days=1, seconds=int(draw.expovariate(self.profile.yearly_turnover) * 365 * 86_400))
        return Person(
            given=given,
            family=family,
            name=None if draw.random() < NAMELESS_SHARE else language.format_full(given, family),
            login=login,
            emails=self._draw_emails(draw, login),
            department=draw.choice(catalog.DEPARTMENTS),
            joined_at=joined_at,
            left_at=stays_until + stay,
            diligence=draw.uniform(0.75, 1.1),
        )

    def _draw_emails(self, draw: Random, login: str) -> tuple[Email, ...]:
        dice = draw.random()
        if dice < NO_EMAIL_SHARE:
            return ()
        work = Email(f"{login}@{self.profile.domain}", is_primary=True, type="work")
        if dice < NO_EMAIL_SHARE + SECOND_EMAIL_SHARE:
            return Email(f"{login}@mail.example.org", is_primary=False, type="personal"), work
        return (work,)

    def _draw_courses(self, draw: Random, first: datetime) -> None:
        profile, is_first_year = self.profile, first.year == FIRST_YEAR
        titles: dict[Kind, Sequence[str]] = {}
        if profile.has_editions:
            titles["yearly"] = [f"{title} {first.year}" for title in profile.yearly]
        elif is_first_year:
            titles["yearly"] = profile.yearly
        if is_first_year:
            titles["onboarding"] = profile.onboarding
        offered = len(self._positions("elective"))
        titles["elective"] = profile.electives[offered:][: YEARLY_ELECTIVES if offered else FIRST_ELECTIVES]
        for kind, of_kind in titles.items():
            for title in of_kind:
                created_at = first + timedelta(seconds=len(self.courses))
                self.courses.append(catalog.draw_course(draw, title, kind, created_at))

    def _draw_starts(self, draw: Random, first: datetime) -> Iterator[Start]:
        """Yield what begins in a year, in no order; the caller drops what falls into another year."""
        staff = [number for number, person in enumerate(self.people) if person.left_at > first]
        yield from self._draw_campaigns(draw, staff, first)
        for course in self._positions("onboarding"):
            for person in staff:
                if (joined_at := self.people[person].joined_at) >= first:
                    begins = joined_at + timedelta(seconds=draw.randrange(86_400))
                    yield self._start(person, course, begins, is_assigned=True)
        electives = self._positions("elective")
        count = int(self.profile.headcount * self.profile.electives_per_person)
        for _ in range(count if staff else 0):
            person, course = draw.choice(staff), electives[int(len(electives) * draw.random() ** POPULARITY)]
            begins = self._draw_instant(draw, first, draw.uniform(FIRST_DAY, LAST_DAY))
            if self.people[person].is_present(begins) and (person, course) not in self._chosen:
                self._chosen.add((person, course))
                yield self._start(person, course, begins)

    def _draw_campaigns(self, draw: Random, staff: Sequence[int], first: datetime) -> Iterator[Start]:
        """Assign the yearly trainings, wave by wave; people who join after their wave get them on their second day."""
        count = len(self.profile.yearly)
        slots = [(wave, course) for wave in range(WAVES) for course in self._positions("yearly")[-count:]]
        for position, (wave, course) in enumerate(slots if count else []):
            assigned_at = self._draw_instant(draw, first, 8 + 345 * position / len(slots))
            for number in staff:
                person = self.people[number]
                if number % WAVES == wave and assigned_at < person.left_at:
                    is_new = person.joined_at > assigned_at
                    begins = person.joined_at + timedelta(days=1) if is_new else assigned_at
                    days = NEW_PERSON_DUE_DAYS if is_new else DUE_DAYS
                    due_at = datetime.combine(begins.date() + timedelta(days=days), time(), UTC)
                    yield self._start(number, course, begins, is_assigned=True, due_at=due_at)

    def _start(
        self,
        person: int,
        course: int,
        created_at: datetime,
        *,
        is_assigned: bool = False,
        due_at: datetime | None = None,
    ) -> Start:
        learner = self.people[person]
        odds = self.courses[course].finish_rate * learner.diligence
        return Start(created_at, person, course, odds, learner.left_at, is_assigned, due_at)

    def _positions(self, kind: Kind) -> list[int]:
        return [position for position, course in enumerate(self.courses) if course.kind == kind]

    def _draw_instant(self, draw: Random, first: datetime, day: float) -> datetime:
        return draw_working_time(draw, first + timedelta(days=day), self.zone)
