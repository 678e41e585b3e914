"""The dialect of the accounts that can be swept: nearly every field is filled.

What belongs here: the unified mapping of an invented provider, and what that provider says itself.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.synthetic.dialect import Ids
from lms_pipeline.sandbox.synthetic.instants import NEVER, instant_of
from lms_pipeline.sandbox.synthetic.kept import Kept
from lms_pipeline.sandbox.synthetic.lives import State, state_of
from lms_pipeline.sandbox.synthetic.references import (
    CoursePieces,
    LearnerPieces,
    course_pieces,
    learner_pieces,
)
from lms_pipeline.sandbox.synthetic.unified import (
    UnifiedCourse,
    UnifiedEnrollment,
    UnifiedUser,
    encode,
    encoded,
)
from lms_pipeline.sandbox.world import Record

if TYPE_CHECKING:
    from lms_pipeline.sandbox.synthetic.company import Company
    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.lives import Life
    from lms_pipeline.sandbox.synthetic.people import Person

_UNFINISHED = {"assigned", "enrolled", "in_progress"}


class _Enrolment(msgspec.Struct, rename="camel", gc=False):
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
        self._learners = Kept(self._learner)
        self._courses = Kept(self._course)

    def enrollment(self, life: Life, at: int) -> Record:
        """An enrollment with whatever is known of it."""
        state = state_of(life, at)
        learner, course = self._learners[life.person], self._courses[life.course]
        is_overdue = (
            self._tells_overdue and life.due_at != NEVER and life.due_at <= at and state.status in _UNFINISHED
        )
        # With more than 15 keyword arguments Python makes a dict of them: 21 took five times as long as 15.
        unified = UnifiedEnrollment(
            id=self._enrollments.of(life.number),
            user=learner.user,
            course=course.course,
            status="overdue" if is_overdue else state.status,
            attempts_count=state.attempt,
            completed_at=instant_of(state.completed_at),
            created_at=instant_of(life.seen_from),
            custom_fields=learner.custom_fields,
            due_at=instant_of(life.due_at),
            enrolled_at=instant_of(state.enrolled_at),
            is_mandatory=course.is_mandatory,
            progress_percent=state.progress,
            time_spent_seconds=state.seconds,
            updated_at=instant_of(max(state.updated_at, life.due_at) if is_overdue else state.updated_at),
            urls=course.urls,
        )
        if life.is_assigned:
            unified.assigned_at = unified.created_at
            unified.assigned_by = self._assigner
        if state.attempt:
            unified.attempt_number = state.attempt
            unified.last_activity_at = instant_of(state.last_activity_at)
            unified.score = state.score
            unified.started_at = instant_of(state.started_at)
        return Record(encode(unified), encode(_told(life, state, unified.id, learner, course)))

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

    def _learner(self, number: int) -> LearnerPieces:
        return learner_pieces(self.users.of(number), self._company.people[number])

    def _course(self, number: int) -> CoursePieces:
        return course_pieces(
            self.courses.of(number), self._company.courses[number], self._company.profile.domain
        )

    @cached_property
    def _assigner(self) -> msgspec.Raw:
        """Whoever came first assigns all the trainings."""
        person = self._company.people[0]
        return encoded(UnifiedUser(id=self.users.of(person.number), name=person.name))


def _told(
    life: Life, state: State, enrollment_id: str, learner: LearnerPieces, course: CoursePieces
) -> _Enrolment:
    return _Enrolment(
        enrolment_id=enrollment_id,
        learner_ref=learner.id,
        module_ref=course.id,
        role="instructor" if life.is_instructor else "learner",
        state=state.status.upper(),
        completion=state.progress / 100,
        grade=state.score,
        tries=state.attempt,
        enrolled_ms=state.enrolled_at * 1000 or None,
        last_seen_ms=state.last_activity_at * 1000 or None,
        finished_ms=state.completed_at * 1000 or None,
        minutes_spent=round(state.seconds / 60, 1),
    )
