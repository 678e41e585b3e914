"""How it goes with a learner in a course: the drawing of a life.

What belongs here: odds and durations. Who takes which course when is `company.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lms_pipeline.sandbox.synthetic.instants import DAY, HOUR, NEVER, at_work
from lms_pipeline.sandbox.synthetic.lives import Attempt, Ending, Life, Outcome

if TYPE_CHECKING:
    from random import Random
    from zoneinfo import ZoneInfo

    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.people import Person

_INSTRUCTORS = 1 / 40
_NEVER_START = 0.5
"""Of those who don't finish, the share that doesn't even begin."""
_PASS_MARK = 70
_RETAKES = 0.75
_WITHDRAW, _EXPIRE, _ACCESS_DAYS = 0.3, 0.3, 180
"""How an enrollment that isn't finished ends: else it just stays open."""


class Fates:
    """Draws lives with one source of chance, in one portal's working hours."""

    def __init__(self, draw: Random, zone: ZoneInfo) -> None:
        self._draw = draw
        self._zone = zone

    def life(
        self,
        number: int,
        person: Person,
        course: Course,
        seen_from: int,
        *,
        assigned: bool,
        due_at: int = NEVER,
    ) -> Life:
        """The life of an enrollment that is first told of at `seen_from`."""
        is_instructor = self._draw.random() < _INSTRUCTORS
        waits = assigned and self._draw.random() < 0.5
        enrolled_at = seen_from + int(self._draw.expovariate(1) * 4 * DAY) if waits else seen_from
        first = second = None
        ends_at, ends_as = NEVER, None
        if not is_instructor:
            first = self._first_attempt(person, course, enrolled_at, due_at)
            if first is not None and first.outcome == "failed" and self._draw.random() < _RETAKES:
                retake = self._attempt(course, first.last_at + self._days(10), finishes=True)
                second = retake.broken_off(person.left_at)
            elif first is None or first.outcome is None:
                ends_at, ends_as = self._ending(course, first.last_at if first else enrolled_at)
        return Life(
            number=number,
            person=person.number,
            course=course.number,
            seen_from=seen_from,
            enrolled_at=enrolled_at,
            is_assigned=assigned,
            is_instructor=is_instructor,
            due_at=NEVER if is_instructor else due_at,
            first=first,
            second=second,
            ends_at=ends_at,
            ends_as=ends_as,
        )

    def _first_attempt(self, person: Person, course: Course, enrolled_at: int, due_at: int) -> Attempt | None:
        finishes = self._draw.random() < course.finish_rate * person.diligence
        if not finishes and self._draw.random() < _NEVER_START:
            return None
        if due_at == NEVER:
            start = enrolled_at + self._days(4)
        else:
            start = enrolled_at + int(self._draw.betavariate(1.4, 1.2) * max(due_at - enrolled_at, DAY))
        return self._attempt(course, start, finishes=finishes).broken_off(person.left_at)

    def _attempt(self, course: Course, start: int, *, finishes: bool) -> Attempt:
        draw = self._draw
        started_at = at_work(draw, start, self._zone)
        started_at = max(started_at, start)
        share = 1.0 if finishes else draw.uniform(0.05, 0.9)
        hours = course.hours * draw.lognormvariate(0, 0.3)
        span = max(course.days * draw.lognormvariate(0, 0.5) * DAY, hours * HOUR)
        sessions = max(1, min(20, int((1 + hours * 1.5) * share)))
        last_at = started_at + max(sessions * 60, int(span * share))
        score = round(min(100.0, draw.gauss(84, 11)), 1) if finishes and course.has_exam else None
        return Attempt(
            started_at=started_at,
            last_at=last_at,
            sessions=sessions,
            reached=max(1, int(100 * share)),
            seconds=int(hours * share * HOUR),
            outcome=None if not finishes else _outcome(score),
            score=score,
        )

    def _ending(self, course: Course, last_at: int) -> tuple[int, Ending | None]:
        """Of those who don't finish some withdraw, some lose access; a mandatory course stays open."""
        dice = self._draw.random()
        if course.is_mandatory or dice >= _WITHDRAW + _EXPIRE:
            return NEVER, None
        if dice < _WITHDRAW:
            return at_work(self._draw, last_at + DAY + self._days(20), self._zone), "withdrawn"
        return last_at + _ACCESS_DAYS * DAY, "expired"

    def _days(self, mean: float) -> int:
        return int(self._draw.expovariate(1) * mean * DAY)


def _outcome(score: float | None) -> Outcome:
    if score is None:
        return "completed"
    return "passed" if score >= _PASS_MARK else "failed"
