"""The life of an enrollment: everything that will ever happen to it, and what of it is so at an instant.

What belongs here: the record of a life and the reading of it, which is pure. How a life is drawn is `fates.py`, how
it is told is `plain.py` and `talentlms.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from lms_pipeline.sandbox.synthetic.instants import NEVER

Outcome = Literal["completed", "passed", "failed"]
Ending = Literal["withdrawn", "expired"]
Status = Literal[
    "assigned", "enrolled", "in_progress", "completed", "passed", "failed", "withdrawn", "expired"
]

_PACE = 1.3
"""Sessions stand close at the beginning and further apart towards the end."""


class Attempt(msgspec.Struct, gc=False, frozen=True):
    """One go at a course: `sessions` of learning, the last at `last_at`, after which `reached` percent are done."""

    started_at: int
    last_at: int
    sessions: int
    reached: int
    seconds: int
    outcome: Outcome | None
    """What the last session brings; None where the learner just doesn't come back."""
    score: float | None

    def sessions_until(self, at: int) -> int:
        """How many sessions are over."""
        if at >= self.last_at:
            return self.sessions
        passed = (at - self.started_at) / (self.last_at - self.started_at)
        return int(self.sessions * passed ** (1 / _PACE))

    def session_at(self, number: int) -> int:
        """When the session is over; the start for number 0."""
        span = self.last_at - self.started_at
        return self.started_at + int(span * (number / self.sessions) ** _PACE)

    def broken_off(self, at: int) -> Attempt | None:
        """The attempt of who doesn't come back after `at`; None where nothing was done until then."""
        if self.last_at <= at:
            return self
        sessions = 0 if at < self.started_at else self.sessions_until(at)
        if sessions == 0:
            return None
        return Attempt(
            started_at=self.started_at,
            last_at=max(self.session_at(sessions), self.started_at + 1),
            sessions=sessions,
            reached=max(1, self.reached * sessions // self.sessions),
            seconds=self.seconds * sessions // self.sessions,
            outcome=None,
            score=None,
        )

    def reached_at(self, percent: int) -> int:
        """When so much is done, which is not more than `reached`."""
        return self.session_at(-(-percent * self.sessions // self.reached))


class Life(msgspec.Struct, gc=False, frozen=True):
    """An enrollment from beginning to end; person and course by their places in the company's lists."""

    number: int
    person: int
    course: int
    seen_from: int
    """When it is first told of: when it is assigned, else when the learner enrolls."""
    enrolled_at: int
    is_assigned: bool
    is_instructor: bool
    due_at: int
    first: Attempt | None = None
    second: Attempt | None = None
    """A retake, after the first attempt failed."""
    ends_at: int = NEVER
    """When the enrollment ends although the course isn't finished."""
    ends_as: Ending | None = None


class State(msgspec.Struct, gc=False, frozen=True):
    """What is so at an instant; instants that are not yet, or don't come, are NEVER.

    A struct is made in a sixth of the time of a named tuple, and one is made for every enrollment on a page.
    """

    status: Status
    progress: int
    score: float | None
    attempt: int
    enrolled_at: int
    started_at: int
    completed_at: int
    last_activity_at: int
    updated_at: int
    seconds: int


def state_of(life: Life, at: int) -> State:
    """The life as it is at `at`, which is not before `seen_from`."""
    if life.second is not None and life.second.started_at <= at:
        state = _learning(life, life.second, at)
    elif life.first is not None and life.first.started_at <= at:
        state = _learning(life, life.first, at)
    else:
        state = _waiting(life, at)
    if life.ends_as is not None and life.ends_at <= at:
        return msgspec.structs.replace(state, status=life.ends_as, updated_at=life.ends_at)
    return state


def _waiting(life: Life, at: int) -> State:
    is_enrolled = life.enrolled_at <= at
    return State(
        status="enrolled" if is_enrolled else "assigned",
        progress=0,
        score=None,
        attempt=0,
        enrolled_at=life.enrolled_at if is_enrolled else NEVER,
        started_at=NEVER,
        completed_at=NEVER,
        last_activity_at=NEVER,
        updated_at=life.enrolled_at if is_enrolled else life.seen_from,
        seconds=0,
    )


def _learning(life: Life, attempt: Attempt, at: int) -> State:
    sessions = attempt.sessions_until(at)
    is_over = sessions == attempt.sessions
    outcome = attempt.outcome if is_over else None
    last_at = attempt.last_at if is_over else attempt.session_at(sessions)
    earlier = life.first.seconds if life.first is not None and attempt is not life.first else 0
    return State(
        status=outcome or "in_progress",
        progress=attempt.reached * sessions // attempt.sessions,
        score=attempt.score if outcome else None,
        attempt=1 if attempt is life.first else 2,
        enrolled_at=life.enrolled_at,
        started_at=attempt.started_at,
        completed_at=NEVER if outcome in {None, "failed"} else attempt.last_at,
        last_activity_at=last_at,
        updated_at=last_at,
        seconds=earlier + attempt.seconds * sessions // attempt.sessions,
    )
