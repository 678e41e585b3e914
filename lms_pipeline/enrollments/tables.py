"""The tables that a pull brings, column by column.

What belongs here: descriptions, as plain data. Reading records into them is `records.py`, `flatten.py` and `lists.py`.
The fields, their types and the ten statuses are those of Truto's page of `GET /unified/lms/course-enrollments`.
"""

from __future__ import annotations

from lms_pipeline.schema import Column, ListOf, Table

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
_EXTRA = Column(
    "extra",
    "string",
    "JSON: keys that are not documented, and values that could not be read, under their names",
)

RAW_ENROLLMENTS = Table(
    "raw_enrollments",
    "What the provider said of each enrollment, to the byte.",
    (
        Column("user_id", "string", "The learner, as asked or found; null where neither"),
        Column("course_id", "string", "The course, as asked or found; null where neither"),
        Column("payload", "string", "The provider's JSON as received", nullable=False),
        Column("payload_sha256", "string", "SHA-256 of the payload's bytes, hexadecimal", nullable=False),
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
        ),
        Column("user_id", "string", "Identifier of the learner", nullable=False),
        Column(
            "user_name", "string", "Name of the learner; from the users list where the enrollment lacks it"
        ),
        Column("user_email", "string", "The primary e-mail address, else the first"),
        Column("user_emails", EMAILS, "All e-mail addresses of the learner"),
        Column("course_id", "string", "Identifier of the course", nullable=False),
        Column(
            "course_title",
            "string",
            "Title of the course; from the courses list where the enrollment lacks it",
        ),
        Column("status", "string", f"One of {', '.join(STATUSES)}", nullable=False),
        Column("status_raw", "string", "The status as received"),
        Column("progress_percent", "double", "Progress, 0 to 100"),
        Column("score", "double", "The latest or final score, in the provider's scale"),
        Column("is_mandatory", "bool", "Whether the enrollment is part of a mandatory assignment"),
        Column("attempt_number", "int64", "The latest attempt's number, where the LMS has retakes"),
        Column("attempts_count", "int64", "How many attempts there were"),
        Column("assigned_at", "timestamp", "When the course was assigned to the learner"),
        Column("enrolled_at", "timestamp", "When the learner enrolled"),
        Column("started_at", "timestamp", "When the learner started"),
        Column("completed_at", "timestamp", "When the learner completed the course"),
        Column("due_at", "timestamp", "When it is due; exactly 00:00:00 UTC means that date"),
        Column("last_activity_at", "timestamp", "The last recorded activity"),
        Column("created_at", "timestamp", "When the record was created"),
        Column("updated_at", "timestamp", "When the record was last updated; no cursor to sync by"),
        Column("assigned_by_id", "string", "Identifier of who assigned the course"),
        Column("assigned_by_name", "string", "Name of who assigned the course"),
        Column("time_spent_seconds", "int64", "Time spent, in seconds"),
        Column("custom_fields", "string", "JSON: fields of the provider or the customer"),
        Column("urls", URLS, "URLs of the enrollment"),
        Column("role", "string", "The role in the course as the provider says it, from raw, where known"),
        _EXTRA,
        Column("source", "string", "unified, carried, roster or reconstructed", nullable=False),
        _FETCHED_AT,
    ),
)

REJECTED_ENROLLMENTS = Table(
    "rejected_enrollments",
    "Records that name no usable enrollment, learner or course; served = unified + rejected + duplicates.",
    (
        Column("payload", "string", "The record as received; empty after LMS_REJECTED_DAYS", nullable=False),
        Column("reason", "string", "What is wrong with it", nullable=False),
        Column("field", "string", "The field that can't be used; null where the record is no object"),
        _FETCHED_AT,
    ),
)

LEARNERS = Table(
    "learners",
    "The users list of the account.",
    (
        Column("user_id", "string", "Identifier of the learner", nullable=False),
        Column("user_name", "string", "Name; first and last name where there is no full one"),
        Column("user_email", "string", "The primary e-mail address, else the first"),
        Column("user_emails", EMAILS, "All e-mail addresses"),
        Column("status", "string", "Status of the user as received"),
        Column("created_at", "timestamp", "When the user was created"),
        Column("updated_at", "timestamp", "When the user was last updated"),
        _EXTRA,
        _FETCHED_AT,
    ),
    key=("user_id",),
)

COURSES = Table(
    "courses",
    "The courses list of the account.",
    (
        Column("course_id", "string", "Identifier of the course", nullable=False),
        Column("course_title", "string", "Title; the name where there is no title"),
        Column("status", "string", "Status of the course as received"),
        Column("created_at", "timestamp", "When the course was created"),
        Column("updated_at", "timestamp", "When the course was last updated"),
        _EXTRA,
        _FETCHED_AT,
    ),
    key=("course_id",),
)

PULLED_TABLES = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES, UNIFIED_ENROLLMENTS)
"""In the order in which they are published: `unified_enrollments` last, it is the commit mark."""
