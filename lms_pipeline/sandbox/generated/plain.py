"""The dialect of the accounts that can be swept: nearly every field is filled.

What belongs here: the unified mapping of an invented provider, and what that provider says itself.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.generated.dialect import Ids
from lms_pipeline.sandbox.generated.instants import NEVER, instant_of
from lms_pipeline.sandbox.generated.lives import State, state_of
from lms_pipeline.sandbox.generated.unified import (
    UnifiedCourse,
    UnifiedEnrollment,
    UnifiedUser,
    encode,
    encoded,
)
from lms_pipeline.sandbox.world import Record

if TYPE_CHECKING:
    from lms_pipeline.sandbox.generated.company import Company
    from lms_pipeline.sandbox.generated.courses import Course
    from lms_pipeline.sandbox.generated.lives import Life
    from lms_pipeline.sandbox.generated.people import Person

_UNFINISHED = {"assigned", "enrolled", "in_progress"}


class _Enrolment(msgspec.Struct, rename="camel"):
    """An enrollment in the provider's own words: camel case, times in milliseconds, shares of one."""

    enrolment_id: str
    learner_ref: str
    module_ref: str
    role: str
    state: str
    completion: float
    grade: float | None
    tries: int
    enrolled_ms: int | None
    last_seen_ms: int | None
    finished_ms: int | None
    minutes_spent: float


class Plain:
    """Tells of a company as a provider does that keeps track of everything."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._tells_overdue = company.profile.tells_overdue
        self.users = Ids("usr-", digits=5)
        self.courses = Ids("crs-", digits=3)
        self._enrollments = Ids("enr-", digits=7)
        self._user_references: dict[int, msgspec.Raw] = {}
        self._course_references: dict[int, tuple[msgspec.Raw, msgspec.Raw]] = {}
        self._departments: dict[str, msgspec.Raw] = {}

    def enrollment(self, life: Life, at: int) -> Record:
        """An enrollment with whatever is known of it."""
        state = state_of(life, at)
        person, course = self._company.people[life.person], self._company.courses[life.course]
        is_overdue = (
            self._tells_overdue and life.due_at != NEVER and life.due_at <= at and state.status in _UNFINISHED
        )
        course_reference, urls = self._course_reference(course)
        unified = UnifiedEnrollment(
            id=self._enrollments.of(life.number),
            user=self._user_reference(person),
            course=course_reference,
            status="overdue" if is_overdue else state.status,
            assigned_at=instant_of(life.seen_from) if life.is_assigned else None,
            assigned_by=self._assigner if life.is_assigned else None,
            attempt_number=state.attempt or None,
            attempts_count=state.attempt,
            completed_at=instant_of(state.completed_at),
            created_at=instant_of(life.seen_from),
            custom_fields=self._department(person),
            due_at=instant_of(life.due_at),
            enrolled_at=instant_of(state.enrolled_at),
            is_mandatory=course.is_mandatory,
            last_activity_at=instant_of(state.last_activity_at),
            progress_percent=state.progress,
            score=state.score,
            started_at=instant_of(state.started_at),
            time_spent_seconds=state.seconds,
            updated_at=instant_of(max(state.updated_at, life.due_at) if is_overdue else state.updated_at),
            urls=urls,
        )
        return Record(encode(unified), encode(self._told(life, state)))

    def user(self, person: Person, at: int) -> Record:
        """A user; the provider keeps those who left, and calls them inactive."""
        has_left = person.left_at <= at
        unified = UnifiedUser(
            id=self.users.of(person.number),
            name=person.name,
            first_name=person.given,
            last_name=person.family,
            emails=person.emails,
            status="inactive" if has_left else "active",
            created_at=instant_of(person.joined_at),
            updated_at=instant_of(person.left_at if has_left else person.joined_at),
        )
        told = {
            "learnerRef": unified.id,
            "login": person.login,
            "team": person.department,
            "active": not has_left,
        }
        return Record(encode(unified), encode(told))

    def course(self, course: Course, at: int) -> Record:  # noqa: ARG002 - a course stays as it is
        """A course."""
        unified = UnifiedCourse(
            id=self.courses.of(course.number),
            title=course.title,
            status="published",
            created_at=instant_of(course.created_at),
            updated_at=instant_of(course.created_at),
        )
        told = {
            "moduleRef": unified.id,
            "heading": course.title,
            "hasExam": course.has_exam,
            "parts": course.units,
        }
        return Record(encode(unified), encode(told))

    user_in_full = user
    course_in_full = course

    def _told(self, life: Life, state: State) -> _Enrolment:
        return _Enrolment(
            enrolment_id=self._enrollments.of(life.number),
            learner_ref=self.users.of(life.person),
            module_ref=self.courses.of(life.course),
            role="instructor" if life.is_instructor else "learner",
            state=state.status.upper(),
            completion=state.progress / 100,
            grade=state.score,
            tries=state.attempt,
            enrolled_ms=_milliseconds(state.enrolled_at),
            last_seen_ms=_milliseconds(state.last_activity_at),
            finished_ms=_milliseconds(state.completed_at),
            minutes_spent=round(state.seconds / 60, 1),
        )

    @cached_property
    def _assigner(self) -> msgspec.Raw:
        """Whoever came first assigns all the trainings."""
        person = self._company.people[0]
        return encoded(UnifiedUser(id=self.users.of(person.number), name=person.name))

    def _user_reference(self, person: Person) -> msgspec.Raw:
        if (reference := self._user_references.get(person.number)) is None:
            user = UnifiedUser(id=self.users.of(person.number), name=person.name, emails=person.emails)
            reference = self._user_references[person.number] = encoded(user)
        return reference

    def _course_reference(self, course: Course) -> tuple[msgspec.Raw, msgspec.Raw]:
        if (references := self._course_references.get(course.number)) is None:
            course_id = self.courses.of(course.number)
            url = f"https://learn.{self._company.profile.domain}/modules/{course_id}"
            references = (
                encoded(UnifiedCourse(id=course_id, title=course.title)),
                encoded([{"type": "course", "url": url}]),
            )
            self._course_references[course.number] = references
        return references

    def _department(self, person: Person) -> msgspec.Raw:
        if (department := self._departments.get(person.department)) is None:
            department = self._departments[person.department] = encoded({"department": person.department})
        return department


def _milliseconds(instant: int) -> int | None:
    return instant * 1000 if instant else None
