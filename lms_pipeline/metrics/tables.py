"""The completion tables, column by column.

What belongs here: the sets, statuses, rates and figures, each listed once with its meaning, and the three tables that
follow from these lists. How they are counted is `sql/`; for readers of the tables there is `docs/metrics.md`.
"""

from __future__ import annotations

from typing import NamedTuple

from lms_pipeline.enrollments.tables import STATUSES
from lms_pipeline.schema import Column, Table


class Set(NamedTuple):
    """A set of enrollments, or a part of one; its size is the column `n_<name>`."""

    name: str
    doc: str


class Rate(NamedTuple):
    """One count over another, with columns `<name>`, `<name>_num` and `<name>_den`."""

    name: str
    numerator: str
    denominator: str
    reader: str
    by_enrollment: bool = True
    """False where people or pairs are counted: that says nothing about one learner."""


SETS = (
    Set(
        "all", "Enrollments in the snapshot, without those of other roles and those that began after the day"
    ),
    Set("completed", "Enrollments completed or passed: it stands today"),
    Set("ever_completed", "Enrollments completed once, also where they expired or were withdrawn since"),
    Set("lapsed", "Enrollments ever completed and expired since"),
    Set("timed_out", "Enrollments expired without ever having been completed"),
    Set("finished", "Enrollments completed, passed or failed"),
    Set("started", "Enrollments with any sign of a start"),
    Set("open", "Enrollments assigned, enrolled, in progress or overdue, whatever their progress"),
    Set("open_started", "Open enrollments that have started; with not_started they sum to open"),
    Set("not_started", "Open enrollments without any sign of a start"),
    Set("dropped_early", "Enrollments withdrawn before they started and before they were overdue"),
    Set("eligible", "All enrollments but those dropped early"),
    Set("superseded", "Enrollments after which the same learner has a later one in the same course"),
    Set("due", "Enrollments whose due day has come, but not those withdrawn by then"),
    Set("on_time", "Due enrollments ever completed, on the due day or before"),
    Set("late", "Due enrollments ever completed, after the due day"),
    Set("due_undated", "Due enrollments completed, nobody knows when"),
    Set("due_open", "Due enrollments that are open, under renewal included"),
    Set("due_failed", "Due enrollments that failed"),
    Set("due_withdrawn", "Due enrollments withdrawn after the due day, never completed"),
    Set("due_expired", "Due enrollments expired, never completed"),
    Set("due_unknown", "Due enrollments of unknown status, never completed"),
    Set("overdue", "Open enrollments, not superseded, that are due or that the LMS calls overdue"),
    Set("required", "Mandatory enrollments, neither superseded nor withdrawn"),
    Set("required_not_due", "Required enrollments, open, whose due day lies ahead"),
    Set("mandatory_withdrawn", "Mandatory enrollments, not superseded, that were withdrawn"),
)

RATES = (
    Rate("completion_rate", "completed", "all", "parity with the LMS"),
    Rate("completion_rate_eligible", "completed", "eligible", "the fair figure"),
    Rate("completion_rate_started", "completed", "started", "course quality"),
    Rate("ever_completion_rate", "ever completed", "eligible", "learning delivered, though it lapsed"),
    Rate(
        "learner_completion_rate",
        "(learner, course) pairs with one ever completed",
        "(learner, course) pairs with one eligible",
        "retakes count once",
        by_enrollment=False,
    ),
    Rate("start_rate", "eligible and started", "eligible", "adoption"),
    Rate("pass_rate", "completed", "finished", "assessment; null in a row without a pass and without a fail"),
    Rate("withdrawal_rate", "withdrawn", "all", "drop-off; null where the LMS does not say withdrawn"),
    Rate("on_time_rate", "on time", "due", "auditors"),
    Rate("overdue_rate", "overdue with a due day", "open, not superseded, with a due day", "managers"),
    Rate("compliance_rate", "required and completed", "required", "mandatory training"),
    Rate(
        "learner_compliance_rate",
        "learners all of whose required enrollments are completed",
        "learners with a required enrollment",
        "auditors, who count people",
        by_enrollment=False,
    ),
)

_COUNT_COLUMNS = (
    *(Column(f"n_{name}", "int64", doc) for name, doc in SETS),
    *(Column(f"status_{status}", "int64", f"Enrollments of status {status}") for status in STATUSES),
)


def _rate_columns(rate: Rate) -> tuple[Column, ...]:
    said = f"{rate.numerator} / {rate.denominator}"
    return (
        Column(rate.name, "double", f"0 to 1: {said}; for {rate.reader}"),
        Column(f"{rate.name}_num", "int64", f"Numerator of {rate.name}: {rate.numerator}"),
        Column(f"{rate.name}_den", "int64", f"Denominator of {rate.name}: {rate.denominator}"),
    )


_RATE_COLUMNS = tuple(column for rate in RATES for column in _rate_columns(rate))
_RATE_COLUMNS_BY_ENROLLMENT = tuple(
    column for rate in RATES if rate.by_enrollment for column in _rate_columns(rate)
)

_LEARNERS = Column("learners", "int64", "Learners with an enrollment, each once")

_RECENT_COLUMNS = (
    Column("enrolled_28d", "int64", "Enrollments that began on the last 28 days, the snapshot's included"),
    Column("completed_28d", "int64", "Enrollments ever completed, completed on the last 28 days"),
)

_DURATION_COLUMNS = (
    Column(
        "days_to_complete_p50",
        "double",
        "Days from beginning to completion, median of those who completed so far",
    ),
    Column("days_to_complete_p90", "double", "The same, 90th percentile, interpolated"),
    Column("days_to_complete_n", "int64", "Enrollments that these percentiles are over"),
    Column("faulty_durations", "int64", "Enrollments completed on a day before they began; in no percentile"),
)

_PROGRESS_COLUMNS = (
    Column("progress_mean", "double", "Mean progress in percent of the open enrollments that tell one"),
    Column("progress_n", "int64", "Open enrollments that tell a progress"),
)

_SCORE_COLUMNS = (
    Column("score_mean", "double", "Mean score in the provider's scale, of the enrollments with one"),
    Column("score_n", "int64", "Enrollments with a score"),
)

_TIME_COLUMN = Column("time_spent_hours", "double", "Time spent in all enrollments together, in hours")

_QUALITY_COLUMNS = (
    Column(
        "after_day", "int64", "Enrollments begun (left out) or completed (in progress) after the day's end"
    ),
    Column("left_out_by_role", "int64", "Enrollments left out of everything: instructors and the like"),
    Column("faulty_dates", "int64", "Dates later than the answer that told them; read as null"),
    Column("rows_unfamiliar_role", "int64", "Enrollments counted whose role no setting names: look at it"),
    Column("rows_carried", "int64", "Enrollments carried over from an earlier snapshot"),
    Column("rows_roster", "int64", "Enrollments known from a roster alone"),
    Column("rows_reconstructed", "int64", "Enrollments reconstructed from a later snapshot"),
    Column("oldest_fetched_at", "timestamp", "When the oldest answer behind this row was received"),
)

COURSE_COMPLETION = Table(
    "course_completion",
    "One row per course with an enrollment: how far its learners have come at the end of the day.",
    (
        Column("course_id", "string", "Identifier of the course", nullable=False),
        Column("course_title", "string", "Title of the course, the one told last"),
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
)

LEARNER_COMPLETION = Table(
    "learner_completion",
    "One row per learner with an enrollment: how far they have come in their courses at the end of the day.",
    (
        Column("user_id", "string", "Identifier of the learner", nullable=False),
        Column("user_name", "string", "Name of the learner, the one told last"),
        *_COUNT_COLUMNS,
        *_RATE_COLUMNS_BY_ENROLLMENT,
        Column("last_completed_at", "timestamp", "When the learner last completed a course"),
    ),
    key=("user_id",),
)

COMPLETION_TABLES = (COURSE_COMPLETION, ACCOUNT_COMPLETION, LEARNER_COMPLETION)
