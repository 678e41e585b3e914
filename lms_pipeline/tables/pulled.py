"""The tables that a pull brings, column by column.

What belongs here: descriptions, as plain data. Reading records into them is `records.py`, `flatten.py` and `lists.py`.
The fields, their types and the ten statuses are those of Truto's page of `GET /unified/lms/course-enrollments`.
"""

from __future__ import annotations

from typing import Literal

from lms_pipeline.tables.schema import Column, ListOf, Table

Identity = Literal["pair", "enrollment_id"]
"""Its learner and course, where the account is asked by pair; else its own id."""

KEYS: dict[Identity, tuple[str, ...]] = {
    "pair": ("user_id", "course_id"),
    "enrollment_id": ("enrollment_id",),
}
"""The columns of `unified_enrollments` that identify a row."""

PAIR_INTEGRATIONS = frozenset({"talentlms"})
"""Integrations whose enrollments are known by the pair."""


def resolve_identity(integration: str, chosen: Identity | None) -> Identity:
    """The identity of an account's enrollments: the pair for TalentLMS always, else as chosen."""
    if integration in PAIR_INTEGRATIONS:
        return "pair"
    return chosen or "enrollment_id"


ENROLLMENT_LIST, USER_LIST, COURSE_LIST = "course-enrollments", "users", "courses"
ALL_FIELDS = "*"
"""A whole record, with the keys that are not documented."""


def enrollment_fields(*paths: str) -> frozenset[str]:
    """Fields of an enrollment."""
    return frozenset(f"{ENROLLMENT_LIST}.{path}" for path in paths)


def user_fields(*paths: str) -> frozenset[str]:
    """Fields of a user."""
    return frozenset(f"{USER_LIST}.{path}" for path in paths)


def course_fields(*paths: str) -> frozenset[str]:
    """Fields of a course."""
    return frozenset(f"{COURSE_LIST}.{path}" for path in paths)


ROSTER_FIELDS = user_fields("remote_data") | course_fields("remote_data")
"""Where rosters are, which tell of the enrollments that no call was left for."""
USER_ID = enrollment_fields("user.id") | user_fields("id") | course_fields("remote_data")
COURSE_ID = enrollment_fields("course.id") | course_fields("id") | user_fields("remote_data")


STATUSES = (
    "assigned",
    "enrolled",
    "in_progress",
    "completed",
    "passed",
    "failed",
    "withdrawn",
    "expired",
    "overdue",
    "unknown",
)
"""The documented statuses; whatever else is served is told as `unknown` and kept in `status_raw`."""

EMAILS = ListOf((("email", "string"), ("is_primary", "bool"), ("type", "string")))
URLS = ListOf((("type", "string"), ("url", "string")))

_FETCHED_AT = Column(
    "fetched_at", "timestamp", "When the answer that holds the row was received", nullable=False
)


def _extra(record: frozenset[str]) -> Column:
    doc = "JSON: keys that are not documented, and values that could not be read, under their names"
    return Column("extra", "string", doc, record)


RAW_ENROLLMENTS = Table(
    "raw_enrollments",
    "What the provider said of each enrollment, to the byte.",
    (
        Column("user_id", "string", "The learner, as asked or found; null where neither", USER_ID),
        Column("course_id", "string", "The course, as asked or found; null where neither", COURSE_ID),
        Column(
            "payload",
            "string",
            "The provider's JSON as received",
            enrollment_fields("remote_data") | ROSTER_FIELDS,
            nullable=False,
        ),
        Column(
            "payload_sha256",
            "string",
            "SHA-256 of the payload's bytes, hexadecimal",
            enrollment_fields("remote_data") | ROSTER_FIELDS,
            nullable=False,
        ),
        Column("source", "string", "Where it was found: remote_data, roster or raw", nullable=False),
        _FETCHED_AT,
    ),
)

UNIFIED_ENROLLMENTS = Table(
    "unified_enrollments",
    "One enrollment a row: the state of a learner in a course as Truto maps it. A row is known by its learner and course "
    "where the account is asked by pair, else by its enrollment_id.",
    (
        Column(
            "enrollment_id",
            "string",
            "Identifier of the enrollment, opaque; null only where source is roster",
            enrollment_fields("id"),
        ),
        Column("user_id", "string", "Identifier of the learner", USER_ID, nullable=False),
        Column(
            "user_name",
            "string",
            "Name of the learner; from the users list where the enrollment lacks it",
            enrollment_fields("user.name") | user_fields("name", "first_name", "last_name"),
        ),
        Column(
            "user_email",
            "string",
            "The primary e-mail address, else the first",
            enrollment_fields("user.emails") | user_fields("emails"),
        ),
        Column(
            "user_emails",
            EMAILS,
            "All e-mail addresses of the learner",
            enrollment_fields("user.emails") | user_fields("emails"),
        ),
        Column("course_id", "string", "Identifier of the course", COURSE_ID, nullable=False),
        Column(
            "course_title",
            "string",
            "Title of the course; from the courses list where the enrollment lacks it",
            enrollment_fields("course.title") | course_fields("title", "name"),
        ),
        Column(
            "status",
            "string",
            f"One of {', '.join(STATUSES)}",
            enrollment_fields("status") | ROSTER_FIELDS,
            nullable=False,
        ),
        Column("status_raw", "string", "The status as received", enrollment_fields("status")),
        Column(
            "progress_percent",
            "double",
            "Progress, 0 to 100",
            enrollment_fields("progress_percent") | ROSTER_FIELDS,
        ),
        Column(
            "score",
            "double",
            "The latest or final score, in the provider's scale",
            enrollment_fields("score"),
        ),
        Column(
            "is_mandatory",
            "bool",
            "Whether the enrollment is part of a mandatory assignment",
            enrollment_fields("is_mandatory"),
        ),
        Column(
            "attempt_number",
            "int64",
            "The latest attempt's number, where the LMS has retakes",
            enrollment_fields("attempt_number"),
        ),
        Column(
            "attempts_count", "int64", "How many attempts there were", enrollment_fields("attempts_count")
        ),
        Column(
            "assigned_at",
            "timestamp",
            "When the course was assigned to the learner",
            enrollment_fields("assigned_at"),
        ),
        Column(
            "enrolled_at",
            "timestamp",
            "When the learner enrolled",
            enrollment_fields("enrolled_at") | ROSTER_FIELDS,
        ),
        Column("started_at", "timestamp", "When the learner started", enrollment_fields("started_at")),
        Column(
            "completed_at",
            "timestamp",
            "When the learner completed the course",
            enrollment_fields("completed_at") | ROSTER_FIELDS,
        ),
        Column(
            "due_at",
            "timestamp",
            "When it is due; exactly 00:00:00 UTC means that date",
            enrollment_fields("due_at"),
        ),
        Column(
            "last_activity_at",
            "timestamp",
            "The last recorded activity",
            enrollment_fields("last_activity_at"),
        ),
        Column("created_at", "timestamp", "When the record was created", enrollment_fields("created_at")),
        Column(
            "updated_at",
            "timestamp",
            "When the record was last updated; no cursor to sync by",
            enrollment_fields("updated_at"),
        ),
        Column(
            "assigned_by_id",
            "string",
            "Identifier of who assigned the course",
            enrollment_fields("assigned_by.id"),
        ),
        Column(
            "assigned_by_name",
            "string",
            "Name of who assigned the course",
            enrollment_fields("assigned_by.name"),
        ),
        Column(
            "time_spent_seconds",
            "int64",
            "Time spent, in seconds",
            enrollment_fields("time_spent_seconds") | ROSTER_FIELDS,
        ),
        Column(
            "custom_fields",
            "string",
            "JSON: fields of the provider or the customer",
            enrollment_fields("custom_fields"),
        ),
        Column("urls", URLS, "URLs of the enrollment", enrollment_fields("urls")),
        Column(
            "role",
            "string",
            "The role in the course as the provider says it, from raw, where known",
            enrollment_fields("remote_data") | ROSTER_FIELDS,
        ),
        _extra(enrollment_fields(ALL_FIELDS)),
        Column("source", "string", "unified, carried, roster or reconstructed", nullable=False),
        _FETCHED_AT,
    ),
)

REJECTED_ENROLLMENTS = Table(
    "rejected_enrollments",
    "Records that name no usable enrollment, learner or course; served = unified + rejected + duplicates.",
    (
        Column(
            "payload",
            "string",
            "The record as received; empty after LMS_REJECTED_DAYS",
            enrollment_fields(ALL_FIELDS),
            nullable=False,
        ),
        Column(
            "reason",
            "string",
            "What is wrong with it",
            enrollment_fields("id", "user.id", "course.id"),
            nullable=False,
        ),
        Column(
            "field",
            "string",
            "The field that can't be used; null where the record is no object",
            enrollment_fields("id", "user.id", "course.id"),
        ),
        _FETCHED_AT,
    ),
)

LEARNERS = Table(
    "learners",
    "The users list of the account.",
    (
        Column("user_id", "string", "Identifier of the learner", user_fields("id"), nullable=False),
        Column(
            "user_name",
            "string",
            "Name; first and last name where there is no full one",
            user_fields("name", "first_name", "last_name"),
        ),
        Column("user_email", "string", "The primary e-mail address, else the first", user_fields("emails")),
        Column("user_emails", EMAILS, "All e-mail addresses", user_fields("emails")),
        Column("status", "string", "Status of the user as received", user_fields("status")),
        Column("created_at", "timestamp", "When the user was created", user_fields("created_at")),
        Column("updated_at", "timestamp", "When the user was last updated", user_fields("updated_at")),
        _extra(user_fields(ALL_FIELDS)),
        _FETCHED_AT,
    ),
    key=("user_id",),
)

COURSES = Table(
    "courses",
    "The courses list of the account.",
    (
        Column("course_id", "string", "Identifier of the course", course_fields("id"), nullable=False),
        Column(
            "course_title",
            "string",
            "Title; the name where there is no title",
            course_fields("title", "name"),
        ),
        Column("status", "string", "Status of the course as received", course_fields("status")),
        Column("created_at", "timestamp", "When the course was created", course_fields("created_at")),
        Column("updated_at", "timestamp", "When the course was last updated", course_fields("updated_at")),
        _extra(course_fields(ALL_FIELDS)),
        _FETCHED_AT,
    ),
    key=("course_id",),
)

PULLED_TABLES = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES, UNIFIED_ENROLLMENTS)
"""In the order in which they are published: `unified_enrollments` last, it is the commit mark."""
