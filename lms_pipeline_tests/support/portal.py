"""A small TalentLMS portal whose enrollments are arithmetic over learner, course and day.

Belongs here: which enrollments there are on a day, so that a test can work out what a snapshot must hold. Not here:
how a portal writes them, which is the sandbox's `TalentLmsView`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from lms_pipeline.sandbox import Account, Integration, Listing
from lms_pipeline.sandbox.synthetic.talentlms import PortalCourse, PortalEnrollment, PortalUser, TalentLmsView

PORTAL = "portal"
FIRST = date(2026, 3, 1)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
"""When everybody enrolled."""


class Held(NamedTuple):
    """An enrollment on a day."""

    user_id: str
    course_id: str
    percent: int
    changed_on: int
    """The day, counted from the first, of its latest change."""

    @property
    def changed_at(self) -> datetime:
        return BEGAN + timedelta(days=self.changed_on)


class Portal:
    """A world of one account: each of `learners` in `each` of `courses`; every day one in `every` enrollments moves on.

    Ids are made by `ids`, one after the other.
    """

    def __init__(
        self, learners: int, courses: int, each: int, every: int = 50, *, ids: Sequence[str] = ("{}",)
    ) -> None:
        self.user_ids = [ids[number % len(ids)].format(number + 1) for number in range(learners)]
        self.course_ids = [ids[number % len(ids)].format(number + 101) for number in range(courses)]
        self._each = each
        self._every = every
        self._views: dict[int, PortalView] = {}
        self.hidden = False
        """Whether rosters don't show changes."""
        self.strays: list[dict[str, Any]] = []
        """Entries of every roster that belong to no enrollment."""
        self.with_rosters = True
        """Whether courses have `users`."""
        self.with_courses = True
        """Whether users have `courses`."""
        self.with_attempts = False
        """Whether the response about a pair begins with an earlier attempt, which failed."""

    def accounts(self) -> list[Account]:
        of = Integration(id="talentlms", name="talentlms", category="lms")
        return [Account(PORTAL, "tenant", "active", False, of, BEGAN, BEGAN)]  # noqa: FBT003

    def view(self, account_id: str, at: datetime) -> PortalView:
        day = (at.date() - FIRST).days
        if day not in self._views:
            self._views[day] = PortalView(self, day)
        return self._views[day]

    def held(self, day: int) -> list[Held]:
        """All enrollments at the end of a day, by learner."""
        return [self.one(learner, step, day) for learner in range(len(self.user_ids)) for step in range(self._each)]

    def one(self, learner: int, step: int, day: int) -> Held:
        number = learner * self._each + step
        course = (learner + step * 7) % len(self.course_ids)
        moves = [past for past in range(1, day + 1) if (number + past) % self._every == 0]
        percent = 10 * (number % 5) + 7 * len(moves)
        return Held(self.user_ids[learner], self.course_ids[course], min(100, percent), moves[-1] if moves else 0)

    def changed(self, day: int) -> int:
        """Count the enrollments that moved on that day."""
        return sum(one.changed_on == day for one in self.held(day)) if day else 0


class PortalView(TalentLmsView):
    """The portal at the end of a day, with the switches of `Portal`."""

    def __init__(self, portal: Portal, day: int) -> None:
        users = [PortalUser(one, f"N{one}") for one in portal.user_ids]
        courses = [PortalCourse(one, f"Course {one}") for one in portal.course_ids]
        super().__init__(ZoneInfo("UTC"), users, courses, _enrollments(portal.held(day)))
        self._portal = portal

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        latest = self._by_pair.get((user_id or "", course_id or ""))
        if latest is None or not self._portal.with_attempts:
            return super().enrollments(user_id, course_id)
        failed = msgspec.structs.replace(latest, status="failed", progress=0, completed_at=None)
        return Listing.of([self._enrollment_record(failed), self._enrollment_record(latest)])

    def user_roster(self, user_id: str) -> dict[str, Any]:
        return self._changed(super().user_roster(user_id)) if self._portal.with_courses else {}

    def course_roster(self, course_id: str) -> dict[str, Any]:
        return self._changed(super().course_roster(course_id)) if self._portal.with_rosters else {}

    def _changed(self, roster: dict[str, Any]) -> dict[str, Any]:
        unmoved = {"completion_percentage": "0", "completed_on": "", "completed_on_timestamp": None}
        hidden = unmoved | {"total_time": None, "completion_status": None} if self._portal.hidden else {}
        return {name: [entry | hidden for entry in entries] + self._portal.strays for name, entries in roster.items()}


def _enrollments(held: list[Held]) -> Iterator[PortalEnrollment]:
    for one in held:
        is_completed = one.percent == 100
        yield PortalEnrollment(
            user_id=one.user_id,
            course_id=one.course_id,
            status="completed" if is_completed else "incomplete" if one.percent else "not_attempted",
            progress=one.percent,
            seconds=one.percent * 60,
            enrolled_at=BEGAN,
            updated_at=one.changed_at,
            completed_at=one.changed_at if is_completed else None,
        )
