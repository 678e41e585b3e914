"""Enrollment histories: what happens to a learner in a course, and the state of it at an instant.

Belongs here: odds, durations and statuses. Not here: who enrolls in what (`company.py`), how an LMS reports it
(`provider.py`, `talentlms.py`). All instants are in UTC, without fractions of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from lms_pipeline.sandbox.synthetic.catalog import Course

Outcome = Literal["completed", "passed", "failed"]
Ending = Literal["withdrawn", "expired"]
Status = Literal["assigned", "enrolled", "in_progress"] | Outcome | Ending

INSTRUCTOR_SHARE = 1 / 40
LATE_ENROLLMENT_SHARE = 0.5
"""Of assigned learners, those who don't enroll on the spot."""
NEVER_START_SHARE = 0.5
"""Of learners who don't finish, those who don't even start."""
PASS_MARK = 70
RETAKE_SHARE = 0.75
"""Of learners who fail, those who try a second time."""
WITHDRAW_SHARE, EXPIRE_SHARE = 0.3, 0.3
"""Of optional enrollments that aren't finished; the rest stays open."""
ACCESS_DAYS = 180
MAX_SESSIONS = 20
OPENING_TIME = time(8)


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try at a course, in sessions at equal intervals, of which the last ends at `last_at`."""

    started_at: datetime
    last_at: datetime
    sessions: int
    progress: int
    """Percent done after the last session."""
    seconds: int
    """Learning time of all sessions."""
    outcome: Outcome | None = None
    """Result of the last session; None if the learner doesn't come back after it."""
    score: float | None = None

    def count_sessions(self, at: datetime) -> int:
        """Count the sessions that are over."""
        if at >= self.last_at:
            return self.sessions
        return self.sessions * (at - self.started_at) // (self.last_at - self.started_at)

    def end_of_session(self, number: int) -> datetime:
        """Return when a session ends; the start of the attempt for number 0."""
        if number == self.sessions:
            return self.last_at
        seconds = (self.last_at - self.started_at) // timedelta(seconds=1)
        return self.started_at + timedelta(seconds=-(-seconds * number // self.sessions))


class Start(msgspec.Struct, frozen=True, gc=False):
    """The start of an enrollment, whose history isn't drawn yet."""

    created_at: datetime
    person: int
    """Position in the company's list of people."""
    course: int
    """Position in its list of courses."""
    finish_odds: float
    leaves_at: datetime
    """When the person leaves the company."""
    is_assigned: bool = False
    due_at: datetime | None = None


class History(msgspec.Struct, frozen=True, gc=False):
    """Everything that happens in one enrollment."""

    number: int
    start: Start
    enrolled_at: datetime
    is_instructor: bool
    attempts: tuple[Attempt, ...] = ()
    ends_at: datetime | None = None
    """When an unfinished enrollment ends."""
    ending: Ending | None = None


class State(msgspec.Struct, frozen=True, gc=False):
    """An enrollment at an instant; None for what hasn't happened yet."""

    status: Status
    updated_at: datetime
    enrolled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    last_activity_at: datetime | None = None
    attempt: int = 0
    progress: int = 0
    """Percent."""
    seconds: int = 0
    score: float | None = None


def read_state(history: History, at: datetime) -> State:
    """Return the state at `at`, not before the creation; nothing changes after the person has left."""
    at = min(at, history.start.leaves_at)
    attempts = [attempt for attempt in history.attempts if attempt.started_at <= at]
    if attempts:
        state = _learning_state(history.enrolled_at, attempts, at)
    elif history.enrolled_at <= at:
        state = State("enrolled", updated_at=history.enrolled_at, enrolled_at=history.enrolled_at)
    else:
        state = State("assigned", updated_at=history.start.created_at)
    if history.ending is not None and history.ends_at is not None and history.ends_at <= at:
        return msgspec.structs.replace(state, status=history.ending, updated_at=history.ends_at)
    return state


def _learning_state(enrolled_at: datetime, attempts: Sequence[Attempt], at: datetime) -> State:
    *earlier, attempt = attempts
    sessions = attempt.count_sessions(at)
    outcome = attempt.outcome if sessions == attempt.sessions else None
    last_at = attempt.end_of_session(sessions)
    seconds = attempt.seconds * sessions // attempt.sessions
    return State(
        status=outcome or "in_progress",
        updated_at=last_at,
        enrolled_at=enrolled_at,
        started_at=attempt.started_at,
        completed_at=None if outcome in {None, "failed"} else last_at,
        last_activity_at=last_at,
        attempt=len(attempts),
        progress=attempt.progress * sessions // attempt.sessions,
        seconds=seconds + sum(one.seconds for one in earlier) if earlier else seconds,
        score=attempt.score if outcome else None,
    )


def draw_history(draw: Random, number: int, start: Start, course: Course, zone: ZoneInfo) -> History:
    """Draw what happens after the start of an enrollment."""
    is_instructor = draw.random() < INSTRUCTOR_SHARE
    is_late = start.is_assigned and draw.random() < LATE_ENROLLMENT_SHARE
    enrolled_at = _wait(draw, start.created_at, mean_days=4) if is_late else start.created_at
    if is_instructor:
        return History(number, start, enrolled_at, is_instructor)
    attempts = _draw_attempts(draw, start, course, enrolled_at, zone)
    ends_at, ending = None, None
    if not (attempts and attempts[-1].outcome) and not course.is_mandatory:
        ends_at, ending = _draw_ending(draw, attempts[-1].last_at if attempts else enrolled_at, zone)
    return History(number, start, enrolled_at, is_instructor, attempts, ends_at, ending)


def draw_working_time(draw: Random, instant: datetime, zone: ZoneInfo) -> datetime:
    """Draw an instant between 8 and 18 o'clock in `zone`, on the local date of `instant` or the Monday after it."""
    day = instant.astimezone(zone).date()
    if (weekday := day.weekday()) > 4:
        day += timedelta(days=7 - weekday)
    opens_at = datetime.combine(day, OPENING_TIME, zone).astimezone(UTC)
    return opens_at + timedelta(seconds=int(draw.random() * 36_000))


def _draw_attempts(
    draw: Random, start: Start, course: Course, enrolled_at: datetime, zone: ZoneInfo
) -> tuple[Attempt, ...]:
    finishes = draw.random() < start.finish_odds
    if not finishes and draw.random() < NEVER_START_SHARE:
        return ()
    if start.due_at is None:
        begins = _wait(draw, enrolled_at, mean_days=4)
    else:
        days_left = max((start.due_at - enrolled_at) / timedelta(days=1), 1)
        begins = _after(enrolled_at, draw.triangular(0, days_left, 0.6 * days_left))
    first = _draw_attempt(draw, course, begins, zone, finishes=finishes)
    if first.outcome != "failed" or draw.random() >= RETAKE_SHARE:
        return (first,)
    return first, _draw_attempt(draw, course, _wait(draw, first.last_at, mean_days=10), zone, finishes=True)


def _draw_attempt(draw: Random, course: Course, begins: datetime, zone: ZoneInfo, *, finishes: bool) -> Attempt:
    started_at = max(draw_working_time(draw, begins, zone), begins)
    share = 1.0 if finishes else draw.uniform(0.05, 0.9)
    hours = course.hours * draw.triangular(0.5, 1.8, 1)
    days = max(course.days * draw.triangular(0.3, 2.5, 1), hours / 24)
    sessions = max(1, min(MAX_SESSIONS, int((1 + hours * 1.5) * share)))
    score = round(min(100.0, draw.gauss(84, 11)), 1) if finishes and course.has_exam else None
    return Attempt(
        started_at=started_at,
        last_at=max(_after(started_at, days * share), started_at + timedelta(minutes=sessions)),
        sessions=sessions,
        progress=max(1, int(100 * share)),
        seconds=int(hours * share * 3600),
        outcome=_grade(score) if finishes else None,
        score=score,
    )


def _grade(score: float | None) -> Outcome:
    if score is None:
        return "completed"
    return "passed" if score >= PASS_MARK else "failed"


def _draw_ending(draw: Random, last_at: datetime, zone: ZoneInfo) -> tuple[datetime, Ending] | tuple[None, None]:
    """Draw how an unfinished enrollment in an optional course ends."""
    dice = draw.random()
    if dice < WITHDRAW_SHARE:
        return draw_working_time(draw, _wait(draw, _after(last_at, 2), mean_days=20), zone), "withdrawn"
    if dice < WITHDRAW_SHARE + EXPIRE_SHARE:
        return _after(last_at, ACCESS_DAYS), "expired"
    return None, None


def _wait(draw: Random, instant: datetime, mean_days: float) -> datetime:
    return _after(instant, draw.expovariate(1 / mean_days))


def _after(instant: datetime, days: float) -> datetime:
    return instant + timedelta(seconds=int(days * 86_400))
