"""The provider mapping of accounts that can be swept, and what all provider mappings share.

Belongs here: the unified objects, and the records of an invented provider that fills nearly every field.
Not here: TalentLMS (`talentlms.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from lms_pipeline.sandbox.synthetic.company import Company, Email
from lms_pipeline.sandbox.synthetic.history import History, State, read_state
from lms_pipeline.sandbox.world import Listing, Record

encode = msgspec.json.Encoder().encode


class UnifiedUser(msgspec.Struct, omit_defaults=True):
    """A user, in a list or inside an enrollment; fields that a provider doesn't know are left out."""

    id: str
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    emails: Sequence[Email] | None = None
    status: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class UnifiedCourse(msgspec.Struct, omit_defaults=True):
    """A course, in a list or inside an enrollment."""

    id: str
    title: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class UnifiedEnrollment(msgspec.Struct, omit_defaults=True, gc=False):
    """An enrollment, with the fields in the order of the API's documentation."""

    id: str
    user: UnifiedUser
    course: UnifiedCourse
    status: str
    assigned_at: datetime | None = None
    assigned_by: UnifiedUser | None = None
    attempt_number: int | None = None
    attempts_count: int | None = None
    completed_at: datetime | None = None
    created_at: datetime | None = None
    custom_fields: dict[str, str] | None = None
    due_at: datetime | None = None
    enrolled_at: datetime | None = None
    is_mandatory: bool | None = None
    last_activity_at: datetime | None = None
    progress_percent: float | None = None
    score: float | None = None
    started_at: datetime | None = None
    time_spent_seconds: int | None = None
    updated_at: datetime | None = None
    urls: list[dict[str, str]] | None = None


class SweepView:
    """A company at an instant, in an account that can be swept; a record is made when it is served."""

    def __init__(self, company: Company, at: datetime) -> None:
        self._domain = company.profile.domain
        self._reports_overdue = company.profile.reports_overdue
        self._at = at
        self._people = {f"usr-{number:05}": one for number, one in enumerate(company.find_people(at), start=1)}
        self._courses = {f"crs-{number:03}": one for number, one in enumerate(company.find_courses(at), start=1)}
        self._user_ids, self._course_ids = list(self._people), list(self._courses)
        self._histories = company.find_histories(at)
        self._assigner = next(
            (UnifiedUser(user_id, name=person.name) for user_id, person in self._people.items()), None
        )

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """Return the enrollments in the order of their creation."""
        found = self._histories
        if user_id is not None or course_id is not None:
            found = [
                history
                for history in found
                if user_id in {None, self._user_ids[history.start.person]}
                and course_id in {None, self._course_ids[history.start.course]}
            ]
        return Listing(len(found), lambda position: self._enrollment_record(found[position]))

    def users(self) -> Listing:
        """Return the people in the order in which they joined; those who left are inactive."""
        return Listing(len(self._people), lambda position: self._user_record(self._user_ids[position]))

    def courses(self) -> Listing:
        """Return the courses in the order of their creation."""
        return Listing(len(self._courses), lambda position: self._course_record(self._course_ids[position]))

    def user(self, user_id: str) -> Record | None:
        """Return one person as in the list."""
        return self._user_record(user_id) if user_id in self._people else None

    def course(self, course_id: str) -> Record | None:
        """Return one course as in the list."""
        return self._course_record(course_id) if course_id in self._courses else None

    def _enrollment_record(self, history: History) -> Record:
        start, state = history.start, read_state(history, self._at)
        user_id, course_id = self._user_ids[start.person], self._course_ids[start.course]
        person, course = self._people[user_id], self._courses[course_id]
        unified = UnifiedEnrollment(
            id=f"enr-{history.number + 1:07}",
            user=UnifiedUser(user_id, name=person.name, emails=person.emails),
            course=UnifiedCourse(course_id, title=course.title),
            status=state.status,
            attempts_count=state.attempt,
            completed_at=state.completed_at,
            created_at=start.created_at,
            custom_fields={"department": person.department},
            due_at=start.due_at,
            enrolled_at=state.enrolled_at,
            is_mandatory=course.is_mandatory,
            progress_percent=state.progress,
            time_spent_seconds=state.seconds,
            updated_at=state.updated_at,
            urls=[{"type": "course", "url": f"https://learn.{self._domain}/modules/{course_id}"}],
        )
        # More than 15 keyword arguments make Python build a dict: 21 took five times as long as 15.
        if start.is_assigned:
            unified.assigned_at, unified.assigned_by = start.created_at, self._assigner
        if state.attempt:
            unified.attempt_number, unified.score = state.attempt, state.score
            unified.started_at, unified.last_activity_at = state.started_at, state.last_activity_at
        is_open = state.status in {"assigned", "enrolled", "in_progress"}
        if self._reports_overdue and is_open and start.due_at and start.due_at <= self._at:
            unified.status, unified.updated_at = "overdue", max(state.updated_at, start.due_at)
        return Record(encode(unified), encode(_remote_enrollment(history, state, unified)))

    def _user_record(self, user_id: str) -> Record:
        person = self._people[user_id]
        has_left = person.left_at <= self._at
        unified = UnifiedUser(
            user_id,
            name=person.name,
            first_name=person.given,
            last_name=person.family,
            emails=person.emails,
            status="inactive" if has_left else "active",
            created_at=person.joined_at,
            updated_at=person.left_at if has_left else person.joined_at,
        )
        remote = {"learnerRef": user_id, "login": person.login, "team": person.department}
        return Record(encode(unified), encode(remote))

    def _course_record(self, course_id: str) -> Record:
        course = self._courses[course_id]
        unified = UnifiedCourse(course_id, course.title, "published", course.created_at, course.created_at)
        remote = {"moduleRef": course_id, "heading": course.title, "hasExam": course.has_exam}
        return Record(encode(unified), encode(remote))


def _remote_enrollment(history: History, state: State, unified: UnifiedEnrollment) -> dict[str, object]:
    """Return an enrollment as the invented provider writes it: other names, shares of one, minutes."""
    return {
        "enrolmentId": unified.id,
        "learnerRef": unified.user.id,
        "moduleRef": unified.course.id,
        "role": "instructor" if history.is_instructor else "learner",
        "state": state.status.upper(),
        "completion": state.progress / 100,
        "grade": state.score,
        "tries": state.attempt,
        "lastSeen": state.last_activity_at,
        "finished": state.completed_at,
        "minutesSpent": round(state.seconds / 60, 1),
    }
