"""What all enrollments of a learner or of a course tell alike, encoded once.

What belongs here: the pieces of an enrollment that don't change, as `plain.py` puts them in. They are
more than a third of its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.synthetic.unified import UnifiedCourse, UnifiedUser, encoded

if TYPE_CHECKING:
    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.people import Person


class LearnerPieces(msgspec.Struct, frozen=True):
    """The learner in an enrollment."""

    id: str
    user: msgspec.Raw
    custom_fields: msgspec.Raw


class CoursePieces(msgspec.Struct, frozen=True):
    """The course in an enrollment."""

    id: str
    course: msgspec.Raw
    urls: msgspec.Raw
    is_mandatory: bool


def learner_pieces(user_id: str, person: Person) -> LearnerPieces:
    """What the enrollments of a person have in common."""
    return LearnerPieces(
        id=user_id,
        user=encoded(UnifiedUser(id=user_id, name=person.name, emails=person.emails)),
        custom_fields=encoded({"department": person.department}),
    )


def course_pieces(course_id: str, course: Course, domain: str) -> CoursePieces:
    """What the enrollments in a course have in common."""
    return CoursePieces(
        id=course_id,
        course=encoded(UnifiedCourse(id=course_id, title=course.title)),
        urls=encoded([{"type": "course", "url": f"https://learn.{domain}/modules/{course_id}"}]),
        is_mandatory=course.is_mandatory,
    )
