"""The table of open enrollments that need attention.

Belongs here: its columns and reasons. Not here: how the reasons are decided (`metrics/sql/attention.sql`).
"""

from __future__ import annotations

from lms_pipeline.tables.measures import COUNTED_SOURCES, OPEN_SOURCES, STARTED_SOURCES
from lms_pipeline.tables.schema import Column, Table

REASONS = ("overdue", "due_soon", "stuck", "idle", "never_started")
"""Why an enrollment needs attention, strongest first."""
MAX_DAYS_UNTIL_DUE = 7
"""Days from the snapshot's day to the due day within which an enrollment is due soon."""
MIN_QUIET_DAYS = 14
"""Days without any sign of life, or of a start, after which an enrollment is idle, or never started."""

_SEEN_SOURCES = OPEN_SOURCES | {"last_activity_at"}
_REASON_SOURCES = _SEEN_SOURCES | STARTED_SOURCES | {"due_at"}

ATTENTION = Table(
    "attention",
    "One row per open enrollment, not superseded, that needs attention: it is overdue or due soon, does not move on, or never "
    "started. A row is identified like one of unified_enrollments.",
    (
        Column(
            "enrollment_id",
            "string",
            "Identifier of the enrollment; null if the LMS gives none",
            frozenset({"enrollment_id"}),
        ),
        Column("user_id", "string", "Identifier of the learner", frozenset({"user_id"}), nullable=False),
        Column("user_name", "string", "Name of the learner", frozenset({"user_name"})),
        Column("course_id", "string", "Identifier of the course", frozenset({"course_id"}), nullable=False),
        Column("course_title", "string", "Title of the course", frozenset({"course_title"})),
        Column("reason", "string", f"The strongest reason: {', '.join(REASONS)}", _REASON_SOURCES, nullable=False),
        Column(
            "reasons", "string", "All reasons, strongest first, separated by commas", _REASON_SOURCES, nullable=False
        ),
        Column(
            "days",
            "int64",
            "Days of the strongest reason. overdue: since the due day; due_soon: left until the due day; stuck, idle: since "
            "the last activity, or at least so many if only an earlier snapshot shows it; never_started: since it began, or "
            "since a rule's day of opening. Null if not known",
            _REASON_SOURCES,
        ),
        Column("status", "string", "The status at the end of the day", OPEN_SOURCES, nullable=False),
        Column("progress_percent", "double", "Progress, 0 to 100", frozenset({"progress_percent"})),
        Column("began_day", "date", "The day on which the enrollment began", COUNTED_SOURCES),
        Column("due_day", "date", "The last day on which it is not overdue", frozenset({"due_at"})),
        Column(
            "last_seen_day", "date", "The day of the last activity; null if the LMS does not report it", _SEEN_SOURCES
        ),
        Column("is_mandatory", "bool", "Whether it is mandatory; null if nobody says so", frozenset({"is_mandatory"})),
        Column("due_source", "string", "Whose due day it is: `lms` or `rule`; null without one", frozenset({"due_at"})),
        Column(
            "mandatory_source",
            "string",
            "Who says whether it is mandatory: `lms` or `rule`; null if nobody does",
            frozenset({"is_mandatory"}),
        ),
    ),
    counted_by=COUNTED_SOURCES,
)
