"""The five tables that a pull publishes: columns, keys, and the API fields that decide each column, as plain data.

Belongs here: the fields, types and ten statuses of Truto's documentation of `GET /unified/lms/course-enrollments`. Not
here: reading records into them (`transform/`).
"""

from __future__ import annotations

from typing import Literal

from lms_pipeline.tables.schema import Column, ListOf, Scalar, Table

Identity = Literal["pair", "enrollment_id"]
"""What identifies an enrollment of an account: the pair of learner and course, or its own id."""

KEYS: dict[Identity, tuple[str, ...]] = {"pair": ("user_id", "course_id"), "enrollment_id": ("enrollment_id",)}
"""The columns of `unified_enrollments` that identify a row."""

ENROLLMENT_LIST, USER_LIST, COURSE_LIST = "course-enrollments", "users", "courses"
"""The lists of the API, as the lineage and the URLs name them."""
ALL_FIELDS = "*"
"""In the lineage: a whole record, including its undocumented keys."""


def enrollment_fields(*paths: str) -> frozenset[str]:
    """Return the lineage names of fields of an enrollment."""
    return frozenset(f"{ENROLLMENT_LIST}.{path}" for path in paths)


def user_fields(*paths: str) -> frozenset[str]:
    """Return the lineage names of fields of a user."""
    return frozenset(f"{USER_LIST}.{path}" for path in paths)


def course_fields(*paths: str) -> frozenset[str]:
    """Return the lineage names of fields of a course."""
    return frozenset(f"{COURSE_LIST}.{path}" for path in paths)


ROSTER_FIELDS = user_fields("remote_data") | course_fields("remote_data")
"""The fields with rosters. They give the rows of enrollments that no call was left for."""
USER_ID_FIELDS = enrollment_fields("user.id") | user_fields("id") | course_fields("remote_data")
COURSE_ID_FIELDS = enrollment_fields("course.id") | course_fields("id") | user_fields("remote_data")
_PAYLOAD_FIELDS = enrollment_fields("remote_data") | ROSTER_FIELDS
_EMAIL_FIELDS = enrollment_fields("user.emails") | user_fields("emails")
_REJECTING_FIELDS = enrollment_fields("id", "user.id", "course.id")

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
"""The documented statuses. Any other status is stored as `unknown`, and `status_raw` has it as received."""

RAW_ENROLLMENT_ID_NAMES = ("enrollment_id", "enrollmentId", "enrolment_id", "enrolmentId", "id")
"""Keys under which a provider's own record may have the id of the enrollment; the first that is there counts."""
RAW_USER_NAMES = ("user", "learner", "student")
RAW_COURSE_NAMES = ("course",)
"""Names of learner and course in a provider's own record: their ids are under `<name>_id`, `<name>Id` or `<name>.id`."""

EMAILS = ListOf((("email", "string"), ("is_primary", "bool"), ("type", "string")))
URLS = ListOf((("type", "string"), ("url", "string")))

_FETCHED_AT = Column("fetched_at", "timestamp", "When the response with this row was received", nullable=False)


def _build_extra_column(record: frozenset[str]) -> Column:
    doc = "JSON: undocumented keys, values that could not be read, and dates before 1980, by their names"
    return Column("extra", "string", doc, record)


def _build_field_column(name: str, kind: Scalar | ListOf, doc: str) -> Column:
    """Return the column of an enrollment's field with the same name."""
    return Column(name, kind, doc, enrollment_fields(name))


RAW_ENROLLMENTS = Table(
    "raw_enrollments",
    "The provider's own record of each enrollment, byte for byte, except that credentials are replaced.",
    (
        Column(
            "user_id",
            "string",
            "Identifier of the learner, as requested or as found in the record; null if neither",
            USER_ID_FIELDS,
        ),
        Column(
            "course_id",
            "string",
            "Identifier of the course, as requested or as found in the record; null if neither",
            COURSE_ID_FIELDS,
        ),
        Column(
            "payload",
            "string",
            "The provider's JSON as received, with `[removed]` in place of credentials",
            _PAYLOAD_FIELDS,
            nullable=False,
        ),
        Column(
            "payload_sha256", "string", "SHA-256 of the payload's bytes, hexadecimal", _PAYLOAD_FIELDS, nullable=False
        ),
        Column(
            "source",
            "string",
            "Where the payload was found: remote_data, roster, or raw for a response in Truto's raw format",
            nullable=False,
        ),
        _FETCHED_AT,
    ),
)

UNIFIED_ENROLLMENTS = Table(
    "unified_enrollments",
    "One row per enrollment: the state of a learner in a course as Truto maps it. A row is identified by user_id and "
    "course_id if the identity of the account is pair, otherwise by enrollment_id.",
    (
        Column(
            "enrollment_id",
            "string",
            "Identifier of the enrollment, opaque; null if source is roster, or if the identity is pair and the LMS gives none",
            enrollment_fields("id"),
        ),
        Column("user_id", "string", "Identifier of the learner", USER_ID_FIELDS, nullable=False),
        Column(
            "user_name",
            "string",
            "Name of the learner; from the users list if the enrollment has none",
            enrollment_fields("user.name") | user_fields("name", "first_name", "last_name"),
        ),
        Column("user_email", "string", "The primary e-mail address, otherwise the first", _EMAIL_FIELDS),
        Column("user_emails", EMAILS, "All e-mail addresses of the learner", _EMAIL_FIELDS),
        Column("course_id", "string", "Identifier of the course", COURSE_ID_FIELDS, nullable=False),
        Column(
            "course_title",
            "string",
            "Title of the course; from the courses list if the enrollment has none",
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
            "progress_percent", "double", "Progress, 0 to 100", enrollment_fields("progress_percent") | ROSTER_FIELDS
        ),
        Column("score", "double", "The latest or final score, on the provider's scale", enrollment_fields("score")),
        _build_field_column("is_mandatory", "bool", "Whether the enrollment is part of a mandatory assignment"),
        _build_field_column("attempt_number", "int64", "Number of the latest attempt, if the LMS has retakes"),
        _build_field_column("attempts_count", "int64", "Number of attempts"),
        _build_field_column("assigned_at", "timestamp", "When the course was assigned to the learner"),
        Column(
            "enrolled_at", "timestamp", "When the learner enrolled", enrollment_fields("enrolled_at") | ROSTER_FIELDS
        ),
        _build_field_column("started_at", "timestamp", "When the learner started"),
        Column(
            "completed_at",
            "timestamp",
            "When the learner completed the course",
            enrollment_fields("completed_at") | ROSTER_FIELDS,
        ),
        _build_field_column("due_at", "timestamp", "When the enrollment is due; exactly 00:00:00 UTC means that date"),
        _build_field_column("last_activity_at", "timestamp", "When the last activity was recorded"),
        _build_field_column("created_at", "timestamp", "When the record was created"),
        _build_field_column("updated_at", "timestamp", "When the record was last updated; not usable as a sync cursor"),
        Column(
            "assigned_by_id",
            "string",
            "Identifier of the person who assigned the course",
            enrollment_fields("assigned_by.id"),
        ),
        Column(
            "assigned_by_name",
            "string",
            "Name of the person who assigned the course",
            enrollment_fields("assigned_by.name"),
        ),
        Column(
            "time_spent_seconds",
            "int64",
            "Time spent, in seconds",
            enrollment_fields("time_spent_seconds") | ROSTER_FIELDS,
        ),
        _build_field_column("custom_fields", "string", "JSON: fields of the provider or the customer"),
        _build_field_column("urls", URLS, "URLs of the enrollment"),
        Column(
            "role",
            "string",
            "The role in the course as the provider names it, from the raw payload; null if unknown",
            _PAYLOAD_FIELDS,
        ),
        _build_extra_column(enrollment_fields(ALL_FIELDS) | ROSTER_FIELDS),
        Column("source", "string", "Where the row comes from: unified, carried or roster", nullable=False),
        _FETCHED_AT,
    ),
)

REJECTED_ENROLLMENTS = Table(
    "rejected_enrollments",
    "Records without a usable id of the enrollment, learner or course, and those of over 8 MB; served = unified + rejected + "
    "duplicates.",
    (
        Column(
            "payload",
            "string",
            "The record as received, with `[removed]` in place of credentials; of a record over 8 MB only the first 64 KB. "
            "Empty after LMS_REJECTED_DAYS days",
            enrollment_fields(ALL_FIELDS),
            nullable=False,
        ),
        Column("reason", "string", "Why the record was rejected", _REJECTING_FIELDS, nullable=False),
        Column(
            "field",
            "string",
            "The field that can't be used; null if the record is too large or not an object",
            _REJECTING_FIELDS,
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
            "Name; first and last name if there is no full name",
            user_fields("name", "first_name", "last_name"),
        ),
        Column("user_email", "string", "The primary e-mail address, otherwise the first", user_fields("emails")),
        Column("user_emails", EMAILS, "All e-mail addresses", user_fields("emails")),
        Column("status", "string", "Status of the user as received", user_fields("status")),
        Column("created_at", "timestamp", "When the user was created", user_fields("created_at")),
        Column("updated_at", "timestamp", "When the user was last updated", user_fields("updated_at")),
        _build_extra_column(user_fields(ALL_FIELDS)),
        _FETCHED_AT,
    ),
    key=("user_id",),
)

COURSES = Table(
    "courses",
    "The courses list of the account.",
    (
        Column("course_id", "string", "Identifier of the course", course_fields("id"), nullable=False),
        Column("course_title", "string", "Title; the name if there is no title", course_fields("title", "name")),
        Column("status", "string", "Status of the course as received", course_fields("status")),
        Column("created_at", "timestamp", "When the course was created", course_fields("created_at")),
        Column("updated_at", "timestamp", "When the course was last updated", course_fields("updated_at")),
        _build_extra_column(course_fields(ALL_FIELDS)),
        _FETCHED_AT,
    ),
    key=("course_id",),
)

PULLED_TABLES = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES, UNIFIED_ENROLLMENTS)
"""The tables of a pull in the order of publishing. `unified_enrollments` is last: it is the commit mark."""
