"""The completion tables, column by column.

What belongs here: the sets, statuses, rates and figures, each listed once with its meaning, and the three tables that
follow from these lists. How they are counted is `sql/`; for readers of the tables there is `docs/metrics.md`.
"""

from __future__ import annotations

from typing import NamedTuple

from lms_pipeline.tables.pulled import STATUSES
from lms_pipeline.tables.schema import Column, Table

COUNTED = frozenset({"role", "assigned_at", "enrolled_at", "fetched_at"})
"""Whether an enrollment counts at all, and when it began: every figure rests on these."""

STATUS = COUNTED | {"status", "completed_at"}
"""The status at the end of the day, and whether and when it was completed."""

STARTED = STATUS | {"started_at", "progress_percent", "time_spent_seconds"}
"""Any sign of a start."""

LATEST = COUNTED | {"user_id", "course_id", "attempt_number", "enrollment_id"}
"""Which of a learner's enrollments in a course is the later one."""

PAIR = frozenset({"user_id", "course_id"})
"""Which enrollments are of one learner in one course."""

OPEN = STATUS | LATEST
"""Open, and not superseded."""

DUE = STATUS | {"due_at"}
"""Whether the due day has come, for who was not withdrawn."""

WITHDRAWN_IN_TIME = DUE | {"updated_at"}
"""The same for everybody: a withdrawal may have come before the due day."""

DROPPED = STARTED | WITHDRAWN_IN_TIME
"""Withdrawn before the start and in time: who is not is eligible."""

REQUIRED = OPEN | {"is_mandatory"}
"""Mandatory, and not superseded."""

ROLE = frozenset({"role"})
LEARNER = COUNTED | {"user_id"}
PROGRESS = STATUS | {"progress_percent"}
SCORE = COUNTED | {"score"}
TIME = COUNTED | {"time_spent_seconds"}
SOURCE = COUNTED | {"source"}
DATES = COUNTED | {"started_at", "completed_at", "last_activity_at", "created_at", "updated_at"}


class Set(NamedTuple):
    """A set of enrollments, or a part of one; its size is the column `n_<name>`."""

    name: str
    doc: str
    sources: frozenset[str]
    """The columns of `unified_enrollments` that decide what is in it."""


class Rate(NamedTuple):
    """One count over another, with columns `<name>`, `<name>_num` and `<name>_den`."""

    name: str
    numerator: str
    denominator: str
    reader: str
    numerator_sources: frozenset[str]
    denominator_sources: frozenset[str]
    by_enrollment: bool = True
    """False where people or pairs are counted: that says nothing about one learner."""


SETS = (
    Set(
        "all",
        "Enrollments in the snapshot, without those of other roles and those that began after the day",
        COUNTED,
    ),
    Set("completed", "Enrollments completed or passed: it stands today", STATUS),
    Set(
        "ever_completed",
        "Enrollments completed once, also where they expired or were withdrawn since",
        STATUS,
    ),
    Set("lapsed", "Enrollments ever completed and expired since", STATUS),
    Set("timed_out", "Enrollments expired without ever having been completed", STATUS),
    Set("finished", "Enrollments completed, passed or failed", STATUS),
    Set("started", "Enrollments with any sign of a start", STARTED),
    Set("open", "Enrollments assigned, enrolled, in progress or overdue, whatever their progress", STATUS),
    Set("open_started", "Open enrollments that have started; with not_started they sum to open", STARTED),
    Set("not_started", "Open enrollments without any sign of a start", STARTED),
    Set("dropped_early", "Enrollments withdrawn before they started and before they were overdue", DROPPED),
    Set("eligible", "All enrollments but those dropped early", DROPPED),
    Set("superseded", "Enrollments after which the same learner has a later one in the same course", LATEST),
    Set("due", "Enrollments whose due day has come, but not those withdrawn by then", WITHDRAWN_IN_TIME),
    Set("on_time", "Due enrollments ever completed, on the due day or before", WITHDRAWN_IN_TIME),
    Set("late", "Due enrollments ever completed, after the due day", WITHDRAWN_IN_TIME),
    Set("due_undated", "Due enrollments completed, nobody knows when", DUE),
    Set("due_open", "Due enrollments that are open, under renewal included", DUE),
    Set("due_failed", "Due enrollments that failed", DUE),
    Set("due_withdrawn", "Due enrollments withdrawn after the due day, never completed", WITHDRAWN_IN_TIME),
    Set("due_expired", "Due enrollments expired, never completed", DUE),
    Set("due_unknown", "Due enrollments of unknown status, never completed", DUE),
    Set(
        "overdue", "Open enrollments, not superseded, that are due or that the LMS calls overdue", OPEN | DUE
    ),
    Set("required", "Mandatory enrollments, neither superseded nor withdrawn", REQUIRED),
    Set("required_not_due", "Required enrollments, open, whose due day lies ahead", REQUIRED | {"due_at"}),
    Set("mandatory_withdrawn", "Mandatory enrollments, not superseded, that were withdrawn", REQUIRED),
)

RATES = (
    Rate("completion_rate", "completed", "all", "parity with the LMS", STATUS, COUNTED),
    Rate("completion_rate_eligible", "completed", "eligible", "the fair figure", STATUS, DROPPED),
    Rate("completion_rate_started", "completed", "started", "course quality", STATUS, STARTED),
    Rate(
        "ever_completion_rate",
        "ever completed",
        "eligible",
        "learning delivered, though it lapsed",
        STATUS,
        DROPPED,
    ),
    Rate(
        "learner_completion_rate",
        "(learner, course) pairs with one ever completed",
        "(learner, course) pairs with one eligible",
        "retakes count once",
        STATUS | PAIR,
        DROPPED | PAIR,
        by_enrollment=False,
    ),
    Rate("start_rate", "eligible and started", "eligible", "adoption", STARTED, DROPPED),
    Rate(
        "pass_rate",
        "completed",
        "finished",
        "assessment; null in a row without a pass and without a fail",
        STATUS,
        STATUS,
    ),
    Rate(
        "withdrawal_rate",
        "withdrawn",
        "all",
        "drop-off; null where the LMS does not say withdrawn",
        STATUS,
        COUNTED,
    ),
    Rate("on_time_rate", "on time", "due", "auditors", WITHDRAWN_IN_TIME, WITHDRAWN_IN_TIME),
    Rate(
        "overdue_rate",
        "overdue with a due day",
        "open, not superseded, with a due day",
        "managers",
        OPEN | DUE,
        OPEN | {"due_at"},
    ),
    Rate("compliance_rate", "required and completed", "required", "mandatory training", REQUIRED, REQUIRED),
    Rate(
        "learner_compliance_rate",
        "learners all of whose required enrollments are completed",
        "learners with a required enrollment",
        "auditors, who count people",
        REQUIRED,
        REQUIRED,
        by_enrollment=False,
    ),
)

_COUNT_COLUMNS = (
    *(Column(f"n_{name}", "int64", doc, sources) for name, doc, sources in SETS),
    *(Column(f"status_{status}", "int64", f"Enrollments of status {status}", STATUS) for status in STATUSES),
)


def _rate_columns(rate: Rate) -> tuple[Column, ...]:
    name, numerator, denominator = rate.name, rate.numerator, rate.denominator
    over, under = rate.numerator_sources, rate.denominator_sources
    return (
        Column(name, "double", f"0 to 1: {numerator} / {denominator}; for {rate.reader}", over | under),
        Column(f"{name}_num", "int64", f"Numerator of {name}: {numerator}", over),
        Column(f"{name}_den", "int64", f"Denominator of {name}: {denominator}", under),
    )


_RATE_COLUMNS = tuple(column for rate in RATES for column in _rate_columns(rate))
_RATE_COLUMNS_BY_ENROLLMENT = tuple(
    column for rate in RATES if rate.by_enrollment for column in _rate_columns(rate)
)

_LEARNERS = Column("learners", "int64", "Learners with an enrollment, each once", LEARNER)

_RECENT_COLUMNS = (
    Column(
        "enrolled_28d",
        "int64",
        "Enrollments that began on the last 28 days, the snapshot's included",
        COUNTED,
    ),
    Column("completed_28d", "int64", "Enrollments ever completed, completed on the last 28 days", STATUS),
)

_DURATION_COLUMNS = (
    Column(
        "days_to_complete_p50",
        "double",
        "Days from beginning to completion, median of those who completed so far",
        STATUS,
    ),
    Column("days_to_complete_p90", "double", "The same, 90th percentile, interpolated", STATUS),
    Column("days_to_complete_n", "int64", "Enrollments that these percentiles are over", STATUS),
    Column(
        "faulty_durations",
        "int64",
        "Enrollments completed on a day before they began; in no percentile",
        STATUS,
    ),
)

_PROGRESS_COLUMNS = (
    Column(
        "progress_mean", "double", "Mean progress in percent of the open enrollments that tell one", PROGRESS
    ),
    Column("progress_n", "int64", "Open enrollments that tell a progress", PROGRESS),
)

_SCORE_COLUMNS = (
    Column("score_mean", "double", "Mean score in the provider's scale, of the enrollments with one", SCORE),
    Column("score_n", "int64", "Enrollments with a score", SCORE),
)

_TIME_COLUMN = Column("time_spent_hours", "double", "Time spent in all enrollments together, in hours", TIME)

_QUALITY_COLUMNS = (
    Column(
        "after_day",
        "int64",
        "Enrollments begun (left out) or completed (in progress) after the day's end",
        COUNTED | {"completed_at"},
    ),
    Column("left_out_by_role", "int64", "Enrollments left out of everything: instructors and the like", ROLE),
    Column("faulty_dates", "int64", "Dates later than the answer that told them; read as null", DATES),
    Column(
        "rows_unfamiliar_role",
        "int64",
        "Enrollments counted whose role no setting names: look at it",
        COUNTED,
    ),
    Column("rows_carried", "int64", "Enrollments carried over from an earlier snapshot", SOURCE),
    Column("rows_roster", "int64", "Enrollments known from a roster alone", SOURCE),
    Column("rows_reconstructed", "int64", "Enrollments reconstructed from a later snapshot", SOURCE),
    Column("oldest_fetched_at", "timestamp", "When the oldest answer behind this row was received", COUNTED),
)

COURSE_COMPLETION = Table(
    "course_completion",
    "One row per course with an enrollment: how far its learners have come at the end of the day.",
    (
        Column("course_id", "string", "Identifier of the course", frozenset({"course_id"}), nullable=False),
        Column(
            "course_title", "string", "Title of the course, the one told last", COUNTED | {"course_title"}
        ),
        _LEARNERS,
        *_COUNT_COLUMNS,
        *_RATE_COLUMNS,
        *_RECENT_COLUMNS,
        *_DURATION_COLUMNS,
        *_PROGRESS_COLUMNS,
        *_SCORE_COLUMNS,
        _TIME_COLUMN,
        *_QUALITY_COLUMNS,
    ),
    key=("course_id",),
    counted_by=COUNTED,
)

ACCOUNT_COMPLETION = Table(
    "account_completion",
    "One row per account, also where it has no enrollment: how far its learners have come at the end of the day.",
    (
        _LEARNERS,
        *_COUNT_COLUMNS,
        *_RATE_COLUMNS,
        *_RECENT_COLUMNS,
        *_DURATION_COLUMNS,
        *_PROGRESS_COLUMNS,
        _TIME_COLUMN,
        *_QUALITY_COLUMNS,
    ),
    counted_by=COUNTED,
)

LEARNER_COMPLETION = Table(
    "learner_completion",
    "One row per learner with an enrollment: how far they have come in their courses at the end of the day.",
    (
        Column("user_id", "string", "Identifier of the learner", frozenset({"user_id"}), nullable=False),
        Column("user_name", "string", "Name of the learner, the one told last", COUNTED | {"user_name"}),
        *_COUNT_COLUMNS,
        *_RATE_COLUMNS_BY_ENROLLMENT,
        Column("last_completed_at", "timestamp", "When the learner last completed a course", STATUS),
    ),
    key=("user_id",),
    counted_by=COUNTED,
)

COMPLETION_TABLES = (COURSE_COMPLETION, ACCOUNT_COMPLETION, LEARNER_COMPLETION)
