"""What a year brings to a company: who joins, which courses appear, and who begins which.

What belongs here: the calendar of a company. A year is drawn from the seed, the account and the years before it alone.
How an enrollment goes on after its beginning is `fates.py`.
"""

from __future__ import annotations

from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from lms_pipeline.sandbox.synthetic.courses import Course, Kind, draw_course
from lms_pipeline.sandbox.synthetic.fates import Fates
from lms_pipeline.sandbox.synthetic.instants import DAY, HOUR, NEVER, at_work, midnight, start_of
from lms_pipeline.sandbox.synthetic.people import Person, Recruiter
from lms_pipeline.sandbox.synthetic.seasons import Season, joining, taking_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

    from lms_pipeline.sandbox.synthetic.lives import Life
    from lms_pipeline.sandbox.synthetic.profiles import Profile

_FIRST_ELECTIVES, _YEARLY_ELECTIVES = 10, 3
_YEARS_BEFORE = 5
"""Those who are there at the beginning joined within so many years before."""
_WAVES = 4
"""A yearly training is assigned to a quarter of the staff at a time, so that there is something due all year round."""
_POPULARITY = 1.6
"""The larger, the more do the first of the electives outdo the last."""


class Beginning(NamedTuple):
    """An enrollment that is going to be drawn."""

    seen_from: int
    person: Person
    course: Course
    is_assigned: bool = False
    due_at: int = NEVER


class YearDrawer:
    """Appends a year's people and courses to the company's lists, and draws the year's lives."""

    def __init__(
        self, name: str, profile: Profile, zone: ZoneInfo, people: list[Person], courses: list[Course]
    ) -> None:
        self._name = name
        self._profile = profile
        self._zone = zone
        self._people = people
        self._courses = courses
        self._recruiter = Recruiter(profile.domain, profile.yearly_turnover)
        self._taken: set[tuple[int, int]] = set()

    def draw(self, year: int, first_number: int, *, is_first: bool) -> Iterator[Life]:
        """The lives that begin in `year`, in the order in which they are told of."""
        draw = Random(f"{self._name} {year}")  # noqa: S311 - a made-up world, the same for the same seed
        first, last = start_of(year), start_of(year + 1) - 1
        self._hire(draw, year, is_first=is_first)
        self._extend_catalogue(draw, year, is_first=is_first)
        fates = Fates(draw, self._zone)
        beginnings = [
            begun for begun in self._beginnings(draw, year, first, last) if first <= begun.seen_from <= last
        ]
        beginnings.sort(key=attrgetter("seen_from"))
        for number, begun in enumerate(beginnings, start=first_number):
            yield fates.life(
                number,
                begun.person,
                begun.course,
                begun.seen_from,
                assigned=begun.is_assigned,
                due_at=begun.due_at,
            )

    def _hire(self, draw: Random, year: int, *, is_first: bool) -> None:
        size = self._profile.headcount
        if is_first:
            earlier = [joining(year - before) for before in range(1, _YEARS_BEFORE + 1)]
            self._recruit(draw, [draw.choice(earlier) for _ in range(size)], start_of(year))
        joiners = round(size * self._profile.yearly_turnover)
        self._recruit(draw, [joining(year)] * joiners, start_of(year))

    def _recruit(self, draw: Random, seasons: list[Season], there_at: int) -> None:
        for joined_at in sorted(season.draw(draw, self._zone) for season in seasons):
            number = len(self._people)
            self._people.append(self._recruiter.draw(draw, number, joined_at, max(joined_at, there_at)))

    def _extend_catalogue(self, draw: Random, year: int, *, is_first: bool) -> None:
        profile, first = self._profile, start_of(year)
        if profile.has_editions:
            self._add(draw, [f"{title} {year}" for title in profile.yearly], "yearly", first)
        elif is_first:
            self._add(draw, profile.yearly, "yearly", first)
        if is_first:
            self._add(draw, profile.onboarding, "onboarding", first)
            self._add(draw, profile.programmes, "programme", first)
        there = sum(course.kind == "elective" for course in self._courses)
        following = there + _YEARLY_ELECTIVES if there else _FIRST_ELECTIVES
        self._add(draw, profile.electives[there:following], "elective", first)

    def _add(self, draw: Random, titles: Sequence[str], kind: Kind, first: int) -> None:
        for title in titles:
            number = len(self._courses)
            self._courses.append(draw_course(draw, number, title, kind, first + number))

    def _beginnings(self, draw: Random, year: int, first: int, last: int) -> Iterator[Beginning]:
        staff = [person for person in self._people if person.left_at > first and person.joined_at <= last]
        yearly = [course for course in self._courses if course.kind == "yearly"]
        newest = yearly[len(yearly) - len(self._profile.yearly) :]
        slots = [(course, wave) for wave in range(_WAVES) for course in newest]
        for place, (course, wave) in enumerate(slots):
            day = first + (8 + 345 * place // len(slots)) * DAY
            yield from self._campaign(draw, staff[wave::_WAVES], course, day)
        for course in self._courses:
            if course.kind == "onboarding":
                yield from self._welcomes(draw, staff, course, first)
            elif course.kind == "programme":
                yield from self._classes(draw, staff, course, first)
        yield from self._choices(draw, staff, taking_up(year))

    def _campaign(self, draw: Random, wave: list[Person], course: Course, day: int) -> Iterator[Beginning]:
        """Everybody of the wave has to take the course within sixty days; who joins later has thirty."""
        begins = at_work(draw, day, self._zone)
        for person in wave:
            if person.is_there(begins):
                yield Beginning(begins, person, course, is_assigned=True, due_at=midnight(begins) + 60 * DAY)
            elif person.joined_at > begins:
                joined = person.joined_at + DAY
                yield Beginning(joined, person, course, is_assigned=True, due_at=midnight(joined) + 30 * DAY)

    def _welcomes(self, draw: Random, staff: list[Person], course: Course, first: int) -> Iterator[Beginning]:
        for person in staff:
            if person.joined_at >= first:
                yield Beginning(person.joined_at + draw.randrange(DAY), person, course, is_assigned=True)

    def _classes(self, draw: Random, staff: list[Person], course: Course, first: int) -> Iterator[Beginning]:
        """A fifth of all are asked each quarter, and who hasn't taken the course yet does."""
        for quarter in range(4):
            day = first + (5 + 91 * quarter) * DAY
            for person in draw.sample(staff, k=len(staff) // 5):
                begins = at_work(draw, day + draw.randrange(9) * DAY, self._zone)
                if self._may_take(person, course, begins):
                    yield Beginning(begins, person, course)

    def _choices(self, draw: Random, staff: list[Person], season: Season) -> Iterator[Beginning]:
        electives = [course for course in self._courses if course.kind == "elective"]
        if not staff:  # who leaves a small place isn't always replaced
            return
        for _ in range(int(self._profile.headcount * self._profile.electives_per_person)):
            course = electives[int(len(electives) * draw.random() ** _POPULARITY)]
            person = draw.choice(staff)
            begins = season.draw(draw, self._zone) + draw.randrange(HOUR)
            if self._may_take(person, course, begins):
                yield Beginning(begins, person, course)

    def _may_take(self, person: Person, course: Course, at: int) -> bool:
        """Nobody takes a course twice by choice, nor before they have come or after they have left."""
        pair = (person.number, course.number)
        if pair in self._taken or not person.is_there(at):
            return False
        self._taken.add(pair)
        return True
