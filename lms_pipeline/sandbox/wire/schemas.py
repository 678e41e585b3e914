"""The fields of the unified LMS model and the query parameters of its lists, as the API describes them.

What belongs here: the vendor's page of course enrollments in the form in which the meta route tells it: a type by
name, `{...}` for an object, and `[...]` around what comes in a list.
"""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]
"""Field by field: the name of a type, an object, or a list of one of them."""

EMAILS: Shape = {"email": "string", "is_primary": "boolean", "type": "string"}
USER: Shape = {"id": "string", "name": "string", "emails": [EMAILS]}
COURSE: Shape = {"id": "string", "title": "string"}

ENROLLMENT: Shape = {
    "id": "string",
    "assigned_at": "date-time",
    "assigned_by": {"id": "string", "name": "string"},
    "attempt_number": "integer",
    "attempts_count": "integer",
    "completed_at": "date-time",
    "course": COURSE,
    "created_at": "date-time",
    "custom_fields": "object",
    "due_at": "date-time",
    "enrolled_at": "date-time",
    "is_mandatory": "boolean",
    "last_activity_at": "date-time",
    "progress_percent": "number",
    "remote_data": "object",
    "score": "number",
    "started_at": "date-time",
    "status": "string",
    "time_spent_seconds": "integer",
    "updated_at": "date-time",
    "urls": [{"type": "string", "url": "string"}],
    "user": USER,
}
TALENTLMS_FILLS = (
    "id", "completed_at", "course", "enrolled_at", "progress_percent", "status", "time_spent_seconds",
    "updated_at", "user",
)  # fmt: skip
"""The fields of an enrollment that TalentLMS supports."""

PERSON: Shape = {
    "id": "string",
    "name": "string",
    "first_name": "string",
    "last_name": "string",
    "emails": [EMAILS],
    "status": "string",
    "created_at": "date-time",
    "updated_at": "date-time",
}
CATALOGUE_ENTRY: Shape = {
    "id": "string",
    "title": "string",
    "status": "string",
    "created_at": "date-time",
    "updated_at": "date-time",
}

RECORDS: dict[str, Shape] = {
    "course-enrollments": ENROLLMENT,
    "users": PERSON,
    "courses": CATALOGUE_ENTRY,
}
"""The fields of a record by resource."""
PAGING: Shape = {"limit": "integer", "next_cursor": "string"}
FILTERS: dict[str, Shape] = {
    "course-enrollments": {"user": USER, "course": COURSE},
    "users": {},
    "courses": {},
}
"""The filters of a list by resource."""


def described(shape: Shape, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A shape as the API describes it, each property `required` or not; `required` are dotted names."""
    heads = {name.partition(".")[0] for name in required}
    properties: dict[str, Any] = {}
    for name, of in shape.items():
        inner = tuple(rest for one in required if (rest := one.removeprefix(f"{name}.")) != one)
        properties[name] = {**_described_type(of, inner), "required": name in heads}
    return {"type": "object", "properties": properties}


def _described_type(of: Any, required: tuple[str, ...]) -> dict[str, Any]:  # noqa: ANN401 - part of a shape
    match of:
        case [item]:
            return {"type": "array", "items": _described_type(item, required)}
        case dict():
            return described(of, required)
        case "date-time":
            return {"type": "string", "format": "date-time"}
        case _:
            return {"type": of}
