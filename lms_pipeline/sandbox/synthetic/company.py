"""A company: its people, its courses and its enrollments, growing year by year.

What belongs here: the lists and how they are read. What a year brings is `years.py`. A year appends only and what was
there stays where it is, so that the state at an instant is the beginning of each list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from operator import attrgetter
from threading import Lock
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from lms_pipeline.sandbox.synthetic.instants import start_of
from lms_pipeline.sandbox.synthetic.years import YearDrawer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.lives import Life
    from lms_pipeline.sandbox.synthetic.people import Person
    from lms_pipeline.sandbox.synthetic.profiles import Profile

FIRST_YEAR, LAST_YEAR = 2023, 2035
"""2023 is drawn so that 2024 doesn't begin empty; after 2035 nothing new begins."""

_seen_from = attrgetter("seen_from")
_joined_at = attrgetter("joined_at")
_created_at = attrgetter("created_at")


class Company:
    """People, courses and lives of enrollments, each in the order in which they come about."""

    def __init__(self, seed: int, account_id: str, profile: Profile) -> None:
        self.profile = profile
        self.zone = ZoneInfo(profile.zone)
        self.people: list[Person] = []
        self.courses: list[Course] = []
        self.lives: list[Life] = []
        self._lives_of_person: defaultdict[int, list[Life]] = defaultdict(list)
        self._lives_of_course: defaultdict[int, list[Life]] = defaultdict(list)
        self._years = YearDrawer(f"{seed} {account_id}", profile, self.zone, self.people, self.courses)
        self._next_year = FIRST_YEAR
        self._lock = Lock()

    def grow(self, at: int) -> None:
        """Draw whatever begins until `at`, year by year, each year once."""
        with self._lock:
            while self._next_year <= LAST_YEAR and start_of(self._next_year) <= at:
                is_first = self._next_year == FIRST_YEAR
                for life in self._years.draw(self._next_year, len(self.lives), is_first=is_first):
                    self.lives.append(life)
                    self._lives_of_person[life.person].append(life)
                    self._lives_of_course[life.course].append(life)
                self._next_year += 1

    def people_until(self, at: int) -> int:
        """How many people have come, those who have left again among them."""
        return bisect_right(self.people, at, key=_joined_at)

    def courses_until(self, at: int) -> int:
        """How many courses there are."""
        return bisect_right(self.courses, at, key=_created_at)

    def lives_until(self, at: int) -> int:
        """How many enrollments have been told of."""
        return bisect_right(self.lives, at, key=_seen_from)

    def lives_of(self, at: int, *, person: int | None = None, course: int | None = None) -> Sequence[Life]:
        """The enrollments of a person, of a course or of the pair that have been told of."""
        if person is None:
            lives = self._lives_of_course.get(-1 if course is None else course, [])
        else:
            lives = self._lives_of_person.get(person, [])
        told = lives[: bisect_right(lives, at, key=_seen_from)]
        return told if person is None or course is None else [life for life in told if life.course == course]
