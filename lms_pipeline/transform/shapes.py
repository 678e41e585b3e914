"""The documented fields of each list of the API, and the column that each field fills, as plain data.

Not here: reading a field (`coerce.py`, `reader.py`). Truto documents the fields of an enrollment. Those of a user or course
are not documented: they are those of `user` and `course` there and a few common ones, and any other key goes to `extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

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
"""The kind of a single value. An `id` may be served as a number; a `json` value is stored as received."""


@dataclass(frozen=True)
class Object:
    """A JSON object and its documented fields."""

    fields: dict[str, Field]
    required: tuple[str, ...] = ()
    """Fields without which the whole record is rejected. Each is an id, or an object with required fields."""

    @cached_property
    def objects(self) -> dict[str, Object | Array]:
        """The fields that are objects, or arrays of objects."""
        return {name: kind for name, kind in self.fields.items() if isinstance(kind, Object | Array)}


@dataclass(frozen=True)
class Array:
    """A JSON array of objects."""

    items: Object


Field = Kind | Object | Array


@dataclass(frozen=True)
class Shape:
    """The fields of a list's records, and the table and columns that they fill."""

    table: Table
    record: Object
    columns: dict[str, str]
    """Column -> dotted path of the field that fills it. The module of the table computes the other columns."""


_EMAILS = Array(Object({"email": "string", "is_primary": "bool", "type": "string"}))

_TIMESTAMPS = (
    *("assigned_at", "enrolled_at", "started_at", "completed_at", "due_at", "last_activity_at"),
    *("created_at", "updated_at"),
)

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
    **dict.fromkeys(_TIMESTAMPS, "timestamp"),
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
    "assigned_by_id": "assigned_by.id",
    "assigned_by_name": "assigned_by.name",
    **{name: name for name in ("progress_percent", "score", "is_mandatory", "attempt_number", "attempts_count")},
    **{name: name for name in (*_TIMESTAMPS, "time_spent_seconds", "custom_fields", "urls")},
}

ENROLLMENT = Shape(
    UNIFIED_ENROLLMENTS, Object(_ENROLLMENT_FIELDS, required=("id", "user", "course")), _ENROLLMENT_COLUMNS
)
"""An enrollment of an account whose enrollments are identified by their own id."""

ENROLLMENT_BY_PAIR = Shape(
    UNIFIED_ENROLLMENTS, Object(_ENROLLMENT_FIELDS, required=("user", "course")), _ENROLLMENT_COLUMNS
)
"""An enrollment of an account whose enrollments are identified by learner and course; its own id may be missing."""

_USER_FIELDS: dict[str, Field] = {"name": "string", "first_name": "string", "last_name": "string", "emails": _EMAILS}
_COURSE_FIELDS: dict[str, Field] = {"title": "string", "name": "string"}
_LIST_FIELDS: dict[str, Field] = {
    "status": "string",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "remote_data": "json",
}
_LIST_COLUMNS = {name: name for name in ("status", "created_at", "updated_at")}

USER = Shape(
    LEARNERS,
    Object({"id": "id", **_USER_FIELDS, **_LIST_FIELDS}, required=("id",)),
    {"user_id": "id", "user_name": "name", "user_emails": "emails", **_LIST_COLUMNS},
)

COURSE = Shape(
    COURSES,
    Object({"id": "id", **_COURSE_FIELDS, **_LIST_FIELDS}, required=("id",)),
    {"course_id": "id", "course_title": "title", **_LIST_COLUMNS},
)

LISTS = {ENROLLMENT_LIST: ENROLLMENT, USER_LIST: USER, COURSE_LIST: COURSE}
"""The shape of each list, by the list's name in the URL."""


def list_api_fields() -> dict[str, str]:
    """Return every documented field by the name that `Column.sources` uses, with its kind."""
    fields = {
        f"{name}.{path}": "array" if isinstance(kind, Array) else kind
        for name, shape in LISTS.items()
        for path, kind in iter_paths(shape.record)
    }
    return fields | {f"{name}.{ALL_FIELDS}": "object" for name in LISTS}


def iter_paths(record: Object, prefix: str = "") -> Iterator[tuple[str, Kind | Array]]:
    """Yield the dotted path and the kind of each field, in the order of the fields, and of those of objects inside."""
    for name, kind in record.fields.items():
        if isinstance(kind, Object):
            yield from iter_paths(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind


def transpose(shape: Object, structs: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the values of each field by its dotted path, in the order of the structs.

    A struct that is None, as an object that a record lacks, gives None for all of its fields.
    """
    if not any(structs):
        return {path: [None] * len(structs) for path, _ in iter_paths(shape)}
    values: dict[str, list[Any]] = {}
    for (name, kind), members in zip(shape.fields.items(), _list_members(tuple(shape.fields), structs), strict=True):
        if isinstance(kind, Object):
            values |= {f"{name}.{path}": inner for path, inner in transpose(kind, members).items()}
        else:
            values[name] = members
    return values


def _list_members(names: tuple[str, ...], structs: Sequence[Any]) -> Sequence[list[Any]]:
    """Return the members of structs, one list a name; those of a struct that is None are None."""
    if None in structs:
        return [[None if one is None else getattr(one, name) for one in structs] for name in names]
    return _compile_reader(names)(structs)


@cache
def _compile_reader(names: tuple[str, ...]) -> Callable[[Sequence[Any]], tuple[list[Any], ...]]:
    """Return a function that reads attributes of objects, one list a name.

    An attribute that stands in the code is read in half of the time of `attrgetter`, which was 5% of a pull. One list a
    name: with one tuple an object, Python's garbage collector took a tenth of it.
    """
    lists = ", ".join(f"[one.{name} for one in objects]" for name in names)
    reader: Callable[[Sequence[Any]], tuple[list[Any], ...]] = eval(f"lambda objects: ({lists},)")  # noqa: S307 - our fields
    return reader
