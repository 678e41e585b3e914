"""A TalentLMS portal whose every day is known: who is in which course, and what changes from one day to the next.

Its enrollments are plain arithmetic over learner, course and day, so that a test can say what a snapshot must hold
without asking anybody.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from lms_pipeline.sandbox import Account, Integration, Listing, Record

PORTAL = "portal"
FIRST = date(2026, 3, 1)
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Held(NamedTuple):
    """An enrollment on a day."""

    user_id: str
    course_id: str
    percent: int
    changed_on: int
    """The day, counted from the first, on which it changed last."""


class Portal:
    """`learners` in `courses`, each learner in `each` courses; every day one in `every` enrollments moves on.

    `ids` are what ids look like, taken in turn.
    """

    def __init__(
        self,
        learners: int,
        courses: int,
        each: int,
        every: int = 50,
        *,
        ids: Sequence[str] = ("{}",),
    ) -> None:
        self.user_ids = [ids[number % len(ids)].format(number + 1) for number in range(learners)]
        self.course_ids = [ids[number % len(ids)].format(number + 101) for number in range(courses)]
        self._each = each
        self._every = every
        self._views: dict[int, PortalView] = {}
        self.hidden = False
        """Whether what changes isn't told in the details."""
        self.strays: list[dict[str, Any]] = []
        """What stands in every list of a detail beside the enrollments."""
        self.with_rosters = True
        self.with_courses = True

    def accounts(self) -> list[Account]:
        of = Integration(id="talentlms", name="talentlms", category="lms")
        return [Account(PORTAL, "tenant", "active", False, of, _BEGAN, _BEGAN)]  # noqa: FBT003

    def view(self, account_id: str, at: datetime) -> PortalView:
        day = (at.date() - FIRST).days
        if day not in self._views:
            self._views[day] = PortalView(self, day)
        return self._views[day]

    def held(self, day: int) -> list[Held]:
        """All enrollments at the end of a day, by learner."""
        return [
            self.one(learner, step, day)
            for learner in range(len(self.user_ids))
            for step in range(self._each)
        ]

    def one(self, learner: int, step: int, day: int) -> Held:
        number = learner * self._each + step
        course = (learner + step * 7) % len(self.course_ids)
        moves = [past for past in range(1, day + 1) if (number + past) % self._every == 0]
        percent = 10 * (number % 5) + 7 * len(moves)
        return Held(
            self.user_ids[learner], self.course_ids[course], min(100, percent), moves[-1] if moves else 0
        )

    def changed(self, day: int) -> int:
        """How many moved on that day."""
        return sum(one.changed_on == day for one in self.held(day)) if day else 0


class PortalView:
    """The portal at the end of a day."""

    def __init__(self, portal: Portal, day: int) -> None:
        self._portal = portal
        self._day = day
        self._by_pair = {(one.user_id, one.course_id): one for one in portal.held(day)}
        self._of_user: defaultdict[str, list[Held]] = defaultdict(list)
        self._of_course: defaultdict[str, list[Held]] = defaultdict(list)
        for one in self._by_pair.values():
            self._of_user[one.user_id].append(one)
            self._of_course[one.course_id].append(one)

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        one = self._by_pair.get((user_id or "", course_id or ""))
        return Listing.of([] if one is None else [Record(_json(unified(one)), _json(status(one)))])

    def users(self) -> Listing:
        return Listing.of(
            [_record({"id": one, "first_name": f"N{one}"}, {"id": one}) for one in self._portal.user_ids]
        )

    def courses(self) -> Listing:
        return Listing.of(
            [_record({"id": one, "title": f"Course {one}"}, {"id": one}) for one in self._portal.course_ids]
        )

    def user(self, user_id: str) -> Record | None:
        if user_id not in self._portal.user_ids:
            return None
        told = [self._entry(one, one.course_id) for one in self._of_user[user_id]] + self._portal.strays
        return _record({"id": user_id}, {"courses": told} if self._portal.with_courses else {})

    def course(self, course_id: str) -> Record | None:
        if course_id not in self._portal.course_ids:
            return None
        told = [self._entry(one, one.user_id) for one in self._of_course[course_id]] + self._portal.strays
        return _record({"id": course_id}, {"users": told} if self._portal.with_rosters else {})

    def _entry(self, one: Held, other: str) -> dict[str, Any]:
        entry = {"id": other, **status(one)}
        if self._portal.hidden:
            entry |= {"completion_percentage": "0", "completed_on_timestamp": None, "total_time": None}
        return entry


def unified(one: Held) -> dict[str, Any]:
    """What Truto says of an enrollment."""
    told: dict[str, Any] = {
        "id": f"{one.course_id}:{one.user_id}",
        "user": {"id": one.user_id},
        "course": {"id": one.course_id},
        "status": "completed" if one.percent == 100 else "in_progress" if one.percent else "enrolled",
        "enrolled_at": _BEGAN.isoformat(),
        "progress_percent": one.percent,
        "time_spent_seconds": one.percent * 60,
        "updated_at": (_BEGAN + timedelta(days=one.changed_on)).isoformat(),
    }
    if one.percent == 100:
        told["completed_at"] = (_BEGAN + timedelta(days=one.changed_on)).isoformat()
    return told


def status(one: Held) -> dict[str, Any]:
    """What TalentLMS says of it."""
    done = int((_BEGAN + timedelta(days=one.changed_on)).timestamp()) if one.percent == 100 else None
    return {
        "role": "learner",
        "enrolled_on_timestamp": str(int(_BEGAN.timestamp())),
        "completed_on_timestamp": None if done is None else str(done),
        "completion_percentage": str(one.percent),
        "expired_on_timestamp": None,
        "total_time": f"{one.percent}m 0s" if one.percent else None,
    }


def _record(unified: dict[str, Any], remote: dict[str, Any]) -> Record:
    return Record(_json(unified), _json(remote))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
