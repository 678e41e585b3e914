"""What is measured: the sets of enrollments, the rates between them, and the columns that decide each (lineage).

Belongs here: names, meanings (`docs/metrics.md`) and lineage. Not here: how they are counted (`metrics/sql/`), and the
tables with them (`metrics.py`).
"""

from __future__ import annotations

from typing import NamedTuple

COUNTED_SOURCES = frozenset({"role", "assigned_at", "enrolled_at", "fetched_at"})
"""Decide whether an enrollment counts, and when it began. Every figure depends on them."""

STATUS_SOURCES = COUNTED_SOURCES | {"status", "completed_at"}
"""Decide the status at the end of the day, and whether and when the enrollment was completed."""

STARTED_SOURCES = STATUS_SOURCES | {"started_at", "progress_percent", "time_spent_seconds"}
"""Decide whether there is any sign of a start."""

SUPERSEDED_SOURCES = COUNTED_SOURCES | {"user_id", "course_id", "attempt_number", "enrollment_id"}
"""Decide which of a learner's enrollments in a course is the latest."""

PAIR_SOURCES = frozenset({"user_id", "course_id"})
"""Decide which enrollments belong to the same (learner, course) pair."""

OPEN_SOURCES = STATUS_SOURCES | SUPERSEDED_SOURCES
"""Decide whether an enrollment is open and not superseded."""

DUE_SOURCES = STATUS_SOURCES | {"due_at"}
"""Decide whether the due day has come, for an enrollment that is not withdrawn."""

WITHDRAWN_SOURCES = DUE_SOURCES | {"updated_at"}
"""Decide whether the due day has come, for any enrollment: one may be withdrawn before its due day."""

DROPPED_SOURCES = STARTED_SOURCES | WITHDRAWN_SOURCES
"""Decide whether an enrollment was withdrawn in time and before its start. All others are eligible."""

REQUIRED_SOURCES = OPEN_SOURCES | {"is_mandatory"}
"""Decide whether an enrollment is mandatory and not superseded."""

DATE_SOURCES = COUNTED_SOURCES | {"started_at", "completed_at", "last_activity_at", "created_at", "updated_at"}
"""The dates that can't be later than the response."""


class EnrollmentSet(NamedTuple):
    """A set of enrollments. Its size is the column `n_<name>`."""

    name: str
    doc: str
    sources: frozenset[str]
    """The columns of `unified_enrollments` that decide which enrollments are in the set."""


class Rate(NamedTuple):
    """One count divided by another, with the columns `<name>`, `<name>_num` and `<name>_den`."""

    name: str
    numerator: str
    denominator: str
    use: str
    """What the rate is good for; a sentence of the column's description."""
    numerator_sources: frozenset[str]
    denominator_sources: frozenset[str]
    by_enrollment: bool = True
    """False if the rate counts people or pairs, which says nothing about a single learner."""


ENROLLMENT_SETS = (
    EnrollmentSet(
        "all", "Enrollments in the snapshot, except excluded roles and those that began on a later day", COUNTED_SOURCES
    ),
    EnrollmentSet("completed", "Enrollments whose status at the end of the day is completed or passed", STATUS_SOURCES),
    EnrollmentSet(
        "ever_completed",
        "Enrollments completed at some time, including those expired, withdrawn or open again since; never a failed one",
        STATUS_SOURCES,
    ),
    EnrollmentSet("lapsed", "Enrollments that were completed and have expired since", STATUS_SOURCES),
    EnrollmentSet("timed_out", "Enrollments that expired and were never completed", STATUS_SOURCES),
    EnrollmentSet("finished", "Enrollments with status completed, passed or failed", STATUS_SOURCES),
    EnrollmentSet(
        "started",
        "Enrollments with any sign of a start: a date, progress, time spent, or a status that needs a start",
        STARTED_SOURCES,
    ),
    EnrollmentSet(
        "open",
        "Enrollments with status assigned, enrolled, in_progress or overdue, whatever their progress",
        STATUS_SOURCES,
    ),
    EnrollmentSet(
        "open_started", "Open enrollments that have started; n_open_started + n_not_started = n_open", STARTED_SOURCES
    ),
    EnrollmentSet("not_started", "Open enrollments without any sign of a start", STARTED_SOURCES),
    EnrollmentSet(
        "dropped_early", "Enrollments withdrawn before they started and before they were overdue", DROPPED_SOURCES
    ),
    EnrollmentSet("eligible", "All enrollments except those dropped early", DROPPED_SOURCES),
    EnrollmentSet(
        "superseded", "Enrollments with a later enrollment of the same learner in the same course", SUPERSEDED_SOURCES
    ),
    EnrollmentSet(
        "due",
        "Enrollments whose due day has come, except those withdrawn by the end of their due day",
        WITHDRAWN_SOURCES,
    ),
    EnrollmentSet(
        "on_time", "Due enrollments ever completed and not open, completed on the due day or before", WITHDRAWN_SOURCES
    ),
    EnrollmentSet(
        "late", "Due enrollments ever completed and not open, completed after the due day", WITHDRAWN_SOURCES
    ),
    EnrollmentSet("due_undated", "Due enrollments completed and not open, without a completion date", DUE_SOURCES),
    EnrollmentSet(
        "due_open", "Due enrollments that are open, including those completed before and under renewal", DUE_SOURCES
    ),
    EnrollmentSet("due_failed", "Due enrollments that failed", DUE_SOURCES),
    EnrollmentSet(
        "due_withdrawn",
        "Due enrollments withdrawn after the due day or on an unknown day, and never completed",
        WITHDRAWN_SOURCES,
    ),
    EnrollmentSet("due_expired", "Due enrollments that expired and were never completed", DUE_SOURCES),
    EnrollmentSet("due_unknown", "Due enrollments of unknown status that were never completed", DUE_SOURCES),
    EnrollmentSet(
        "overdue",
        "Open enrollments, not superseded, that are due or that the LMS calls overdue",
        OPEN_SOURCES | DUE_SOURCES,
    ),
    EnrollmentSet("required", "Mandatory enrollments that are neither superseded nor withdrawn", REQUIRED_SOURCES),
    EnrollmentSet(
        "required_not_due",
        "Required enrollments that are open, not called overdue, and whose due day is still ahead",
        REQUIRED_SOURCES | {"due_at"},
    ),
    EnrollmentSet(
        "mandatory_withdrawn", "Mandatory enrollments, not superseded, that were withdrawn", REQUIRED_SOURCES
    ),
)

RATES = (
    Rate(
        "completion_rate",
        "completed",
        "all",
        "Compare it with what the LMS itself shows",
        STATUS_SOURCES,
        COUNTED_SOURCES,
    ),
    Rate(
        "completion_rate_eligible",
        "completed",
        "eligible",
        "The fair figure: a withdrawal in time and before the start is not a failure",
        STATUS_SOURCES,
        DROPPED_SOURCES,
    ),
    Rate(
        "completion_rate_started",
        "completed",
        "started",
        "Measures the course: of those who started, how many completed it",
        STATUS_SOURCES,
        STARTED_SOURCES,
    ),
    Rate(
        "ever_completion_rate",
        "ever completed",
        "eligible",
        "Measures learning delivered, even if it lapsed since",
        STATUS_SOURCES,
        DROPPED_SOURCES,
    ),
    Rate(
        "learner_completion_rate",
        "(learner, course) pairs with an enrollment ever completed",
        "(learner, course) pairs with an eligible enrollment",
        "Counts retakes once",
        STATUS_SOURCES | PAIR_SOURCES,
        DROPPED_SOURCES | PAIR_SOURCES,
        by_enrollment=False,
    ),
    Rate("start_rate", "eligible and started", "eligible", "Measures adoption", STARTED_SOURCES, DROPPED_SOURCES),
    Rate(
        "pass_rate",
        "completed",
        "finished",
        "For assessments; null in a row with neither a pass nor a fail",
        STATUS_SOURCES,
        STATUS_SOURCES,
    ),
    Rate(
        "withdrawal_rate",
        "withdrawn",
        "all",
        "Measures drop-off; null if the LMS does not report withdrawals",
        STATUS_SOURCES,
        COUNTED_SOURCES,
    ),
    Rate("on_time_rate", "on time", "due", "For audits of deadlines", WITHDRAWN_SOURCES, WITHDRAWN_SOURCES),
    Rate(
        "overdue_rate",
        "overdue with a due day",
        "open, not superseded, with a due day",
        "Shows managers whom to remind now",
        OPEN_SOURCES | DUE_SOURCES,
        OPEN_SOURCES | {"due_at"},
    ),
    Rate(
        "compliance_rate",
        "required and completed",
        "required",
        "For mandatory training, by enrollment",
        REQUIRED_SOURCES,
        REQUIRED_SOURCES,
    ),
    Rate(
        "learner_compliance_rate",
        "learners whose required enrollments are all completed",
        "learners with a required enrollment",
        "For mandatory training, by person, as auditors count",
        REQUIRED_SOURCES,
        REQUIRED_SOURCES,
        by_enrollment=False,
    ),
)
