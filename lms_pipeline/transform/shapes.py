"""The JSON that is expected of each list, field by field, and the column each field fills.

What belongs here: descriptions, as plain data. How a field of a kind is read: `kinds.py`. The shape of an
enrollment is Truto's page of `GET /unified/lms/course-enrollments`; users and courses repeat what that page
says of `user` and `course`, their other fields are not published and end in `extra`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lms_pipeline.tables.pulled import (
    ALL_FIELDS,
    COURSE_LIST,
    COURSES,
    ENROLLMENT_LIST,
    LEARNERS,
    UNIFIED_ENROLLMENTS,
    USER_LIST,
)
from lms_pipeline.tables.schema import Table

Kind = Literal["id", "string", "double", "int64", "bool", "timestamp", "json"]
"""What a leaf holds. An `id` may be served as a number; a `json` is kept as it came."""


@dataclass(frozen=True)
class Object:
    """A JSON object with the fields that are documented for it."""

    fields: dict[str, Field]
    required: tuple[str, ...] = ()
    """Fields without which the whole record is rejected; all of them ids or objects with required fields."""


@dataclass(frozen=True)
class Array:
    """A JSON array of objects."""

    items: Object


Field = Kind | Object | Array


@dataclass(frozen=True)
class Shape:
    """A record of a list, and where its fields go."""

    table: Table
    record: Object
    columns: dict[str, str]
    """Column -> dotted path of the field that fills it. What isn't here the table's own module works out."""


_EMAILS = Array(Object({"email": "string", "is_primary": "bool", "type": "string"}))

_TIMESTAMPS: dict[str, Field] = {
    "assigned_at": "timestamp",
    "enrolled_at": "timestamp",
    "started_at": "timestamp",
    "completed_at": "timestamp",
    "due_at": "timestamp",
    "last_activity_at": "timestamp",
    "created_at": "timestamp",
    "updated_at": "timestamp",
}

_ENROLLMENT_FIELDS: dict[str, Field] = {
    "id": "id",
    "user": Object({"id": "id", "name": "string", "emails": _EMAILS}, required=("id",)),
    "course": Object({"id": "id", "title": "string"}, required=("id",)),
    "status": "string",
    "progress_percent": "double",
    "score": "double",
    "is_mandatory": "bool",
    "attempt_number": "int64",
    "attempts_count": "int64",
    **_TIMESTAMPS,
    "assigned_by": Object({"id": "id", "name": "string"}),
    "time_spent_seconds": "int64",
    "custom_fields": "json",
    "urls": Array(Object({"type": "string", "url": "string"})),
    "remote_data": "json",
}

_ENROLLMENT_COLUMNS = {
    "enrollment_id": "id",
    "user_id": "user.id",
    "user_name": "user.name",
    "user_emails": "user.emails",
    "course_id": "course.id",
    "course_title": "course.title",
    "status_raw": "status",
    "progress_percent": "progress_percent",
    "score": "score",
    "is_mandatory": "is_mandatory",
    "attempt_number": "attempt_number",
    "attempts_count": "attempts_count",
    **{name: name for name in _TIMESTAMPS},
    "assigned_by_id": "assigned_by.id",
    "assigned_by_name": "assigned_by.name",
    "time_spent_seconds": "time_spent_seconds",
    "custom_fields": "custom_fields",
    "urls": "urls",
}

ENROLLMENT = Shape(
    UNIFIED_ENROLLMENTS, Object(_ENROLLMENT_FIELDS, required=("id", "user", "course")), _ENROLLMENT_COLUMNS
)
"""An enrollment that is known by its own id."""

ENROLLMENT_BY_PAIR = Shape(
    UNIFIED_ENROLLMENTS, Object(_ENROLLMENT_FIELDS, required=("user", "course")), _ENROLLMENT_COLUMNS
)
"""An enrollment that is known by its learner and course; its own id may be missing."""

USER = Shape(
    LEARNERS,
    Object(
        {
            "id": "id",
            "name": "string",
            "first_name": "string",
            "last_name": "string",
            "emails": _EMAILS,
            "status": "string",
            "created_at": "timestamp",
            "updated_at": "timestamp",
            "remote_data": "json",
        },
        required=("id",),
    ),
    {
        "user_id": "id",
        "user_name": "name",
        "user_emails": "emails",
        "status": "status",
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
)

COURSE = Shape(
    COURSES,
    Object(
        {
            "id": "id",
            "title": "string",
            "name": "string",
            "status": "string",
            "created_at": "timestamp",
            "updated_at": "timestamp",
            "remote_data": "json",
        },
        required=("id",),
    ),
    {
        "course_id": "id",
        "course_title": "title",
        "status": "status",
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
)

LISTS = {ENROLLMENT_LIST: ENROLLMENT, USER_LIST: USER, COURSE_LIST: COURSE}
"""The API's lists, by the names they have in its addresses."""


def api_fields() -> dict[str, str]:
    """Every documented field as `Column.sources` names it, with what it holds."""
    return {
        f"{name}.{path}": kind for name, shape in LISTS.items() for path, kind in _leaves(shape.record, "")
    }


def _leaves(record: Object, parent: str) -> Iterator[tuple[str, str]]:
    for name, of in record.fields.items():
        if isinstance(of, Object):
            yield from _leaves(of, f"{parent}{name}.")
        else:
            yield f"{parent}{name}", "array" if isinstance(of, Array) else of
    if not parent:
        yield ALL_FIELDS, "object"
