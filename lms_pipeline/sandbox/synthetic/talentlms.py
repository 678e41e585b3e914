"""The dialect of TalentLMS: an enrollment is told by the pair alone, and rosters stand in users and courses.

What belongs here: how Truto maps what a portal says. What it says is `portal.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lms_pipeline.sandbox.synthetic import portal_values
from lms_pipeline.sandbox.synthetic.instants import instant_of
from lms_pipeline.sandbox.synthetic.lives import Status, state_of
from lms_pipeline.sandbox.synthetic.portal import Portal
from lms_pipeline.sandbox.synthetic.portal_values import COURSE_IDS, USER_IDS
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

_UNIFIED: dict[str, str] = {"not_attempted": "enrolled", "incomplete": "in_progress"}


class TalentLms:
    """Tells of a company as Truto does of a TalentLMS portal."""

    users = USER_IDS
    courses = COURSE_IDS

    def __init__(self, company: Company) -> None:
        self._portal = Portal(company)

    def enrollment(self, life: Life, at: int) -> Record | None:
        """A learner's status in a course: few fields, and of learner and course the ids alone."""
        state = state_of(life, at)
        if state.status == "withdrawn":
            return None
        user_id, course_id = USER_IDS.of(life.person), COURSE_IDS.of(life.course)
        unified = UnifiedEnrollment(
            id=f"{course_id}:{user_id}",
            user=encoded(UnifiedUser(id=user_id)),
            course=encoded(UnifiedCourse(id=course_id)),
            status=_unified_status(state.status),
            completed_at=instant_of(state.completed_at),
            enrolled_at=instant_of(life.seen_from),
            progress_percent=state.progress,
            time_spent_seconds=state.seconds,
            updated_at=instant_of(state.updated_at),
        )
        return Record(encode(unified), encode(self._portal.status_in_course(life, state)))

    def user(self, person: Person, at: int) -> Record:
        """A user without their courses."""
        return Record(encode(_unified_user(person, at)), encode(self._portal.user(person, at)))

    def user_in_full(self, person: Person, at: int) -> Record:
        """A user with their courses."""
        return Record(encode(_unified_user(person, at)), encode(self._portal.user_with_courses(person, at)))

    def course(self, course: Course, at: int) -> Record:  # noqa: ARG002 - a course stays as it is
        """A course without its roster."""
        return Record(encode(_unified_course(course)), encode(self._portal.course(course)))

    def course_in_full(self, course: Course, at: int) -> Record:
        """A course with its roster."""
        return Record(encode(_unified_course(course)), encode(self._portal.course_with_users(course, at)))


def _unified_user(person: Person, at: int) -> UnifiedUser:
    return UnifiedUser(
        id=USER_IDS.of(person.number),
        first_name=person.given,
        last_name=person.family,
        emails=person.emails,
        status="inactive" if person.left_at <= at else "active",
        created_at=instant_of(person.joined_at),
    )


def _unified_course(course: Course) -> UnifiedCourse:
    return UnifiedCourse(
        id=COURSE_IDS.of(course.number),
        title=course.title,
        status="active",
        created_at=instant_of(course.created_at),
    )


def _unified_status(status: Status) -> str:
    """As the mapping reads TalentLMS's own words; an expiry is told by its date."""
    told = portal_values.code(status)
    return "expired" if status == "expired" else _UNIFIED.get(told, told)
