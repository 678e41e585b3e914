"""The completion tables, column by column.

Belongs here: their columns and keys. Not here: the sets and rates that most columns follow from (`measures.py`), and how
they are counted (`metrics/sql/`).
"""

from __future__ import annotations

from lms_pipeline.tables.measures import (
    COUNTED_SOURCES,
    DATE_SOURCES,
    ENROLLMENT_SETS,
    RATES,
    REQUIRED_SOURCES,
    STATUS_SOURCES,
    WITHDRAWN_SOURCES,
    Rate,
)
from lms_pipeline.tables.pulled import STATUSES
from lms_pipeline.tables.schema import Column, Table
from lms_pipeline.tables.sums import NOT_ADDED

_COUNT_COLUMNS = (
    *(Column(f"n_{name}", "int64", doc, sources) for name, doc, sources in ENROLLMENT_SETS),
    *(Column(f"status_{status}", "int64", f"Enrollments of status {status}", STATUS_SOURCES) for status in STATUSES),
)


def _build_rate_columns(rate: Rate) -> tuple[Column, ...]:
    name, doc = rate.name, f"0 to 1: {rate.numerator} / {rate.denominator}. {rate.use}"
    return (
        Column(name, "double", doc, rate.numerator_sources | rate.denominator_sources),
        Column(f"{name}_num", "int64", f"Numerator of {name}: {rate.numerator}", rate.numerator_sources),
        Column(f"{name}_den", "int64", f"Denominator of {name}: {rate.denominator}", rate.denominator_sources),
    )


_RATE_COLUMNS = tuple(column for rate in RATES for column in _build_rate_columns(rate))

_DURATION = "Calendar days from beginning to completion"
_PROGRESS_SOURCES = STATUS_SOURCES | {"progress_percent"}
_SCORE_SOURCES = COUNTED_SOURCES | {"score"}
_ORIGIN_SOURCES = COUNTED_SOURCES | {"source"}

_FIRST_COLUMNS = (
    Column("learners", "int64", "Learners with an enrollment, each counted once", COUNTED_SOURCES | {"user_id"}),
    *_COUNT_COLUMNS,
    *_RATE_COLUMNS,
    Column(
        "enrolled_28d",
        "int64",
        "Enrollments that began in the last 28 days, including the snapshot's day",
        COUNTED_SOURCES,
    ),
    Column(
        "completed_28d", "int64", "Enrollments ever completed, with a completion in the last 28 days", STATUS_SOURCES
    ),
    Column(
        "days_to_complete_p50", "double", f"{_DURATION}: median of the enrollments completed so far", STATUS_SOURCES
    ),
    Column("days_to_complete_p90", "double", f"{_DURATION}: 90th percentile, interpolated", STATUS_SOURCES),
    Column(
        "days_to_complete_n",
        "int64",
        "Enrollments ever completed with a known duration, which these two percentiles are of",
        STATUS_SOURCES,
    ),
    Column(
        "faulty_durations",
        "int64",
        "Enrollments completed on a day before they began; not in the percentiles",
        STATUS_SOURCES,
    ),
    Column(
        "progress_mean", "double", "Mean progress in percent of the open enrollments that have one", _PROGRESS_SOURCES
    ),
    Column("progress_n", "int64", "Open enrollments that have a progress", _PROGRESS_SOURCES),
)
"""The first columns of courses and accounts alike."""

_LAST_COLUMNS = (
    Column(
        "time_spent_hours",
        "double",
        "Total time spent in all enrollments, in hours",
        COUNTED_SOURCES | {"time_spent_seconds"},
    ),
    Column(
        "after_day",
        "int64",
        "Enrollments begun on a later day (left out) or completed on one (counted as in progress)",
        COUNTED_SOURCES | {"completed_at"},
    ),
    Column(
        "left_out_by_role",
        "int64",
        "Enrollments left out of all other columns because of their role, such as instructors",
        frozenset({"role"}),
    ),
    Column("faulty_dates", "int64", "Dates later than the response that contains them; read as null", DATE_SOURCES),
    Column(
        "rows_unfamiliar_role",
        "int64",
        "Enrollments that count and whose role is neither a known learner role nor an excluded one: "
        "check whether to leave it out",
        COUNTED_SOURCES,
    ),
    Column("rows_carried", "int64", "Enrollments carried over from an earlier snapshot", _ORIGIN_SOURCES),
    Column("rows_roster", "int64", "Enrollments known only from a roster", _ORIGIN_SOURCES),
    Column("rows_reconstructed", "int64", "Always 0: this version reconstructs no enrollments", _ORIGIN_SOURCES),
    Column("oldest_fetched_at", "timestamp", "When the oldest response behind this row was received", COUNTED_SOURCES),
    Column(
        "sentinel_dates",
        "int64",
        "Dates before 1980, which mean that there is no date: they are read as null, and extra has them as received",
        DATE_SOURCES | {"due_at", "extra"},
    ),
)
"""The last columns of courses and accounts alike."""

_RULE_COLUMNS = (
    Column(
        "n_due_by_rule",
        "int64",
        "Enrollments of n_due whose due day is that of a rule, not of the LMS",
        WITHDRAWN_SOURCES,
    ),
    Column(
        "n_required_by_rule",
        "int64",
        "Enrollments of n_required that a rule makes mandatory, not the LMS",
        REQUIRED_SOURCES,
    ),
)
"""How far figures rest on rules (`LMS_RULES_FILE`)."""
_LEFT_OUT_BY_RULE = Column(
    "left_out_by_rule",
    "int64",
    "Enrollments left out of all other columns because a rule excludes the learner",
    frozenset({"user_id", "course_id"}),
)

COURSE_COMPLETION = Table(
    "course_completion",
    "One row per course with an enrollment: the progress of its learners at the end of the day.",
    (
        Column("course_id", "string", "Identifier of the course", frozenset({"course_id"}), nullable=False),
        Column(
            "course_title",
            "string",
            "Title of the course, from the most recent response with a title",
            COUNTED_SOURCES | {"course_title"},
        ),
        *_FIRST_COLUMNS,
        Column(
            "score_mean",
            "double",
            "Mean score of the enrollments that have one, on the provider's scale",
            _SCORE_SOURCES,
        ),
        Column("score_n", "int64", "Enrollments that have a score", _SCORE_SOURCES),
        *_LAST_COLUMNS,
        Column(
            "due_source",
            "string",
            "Whose due days the enrollments have: `lms`, `rule` or `mixed`; null if none has one",
            COUNTED_SOURCES | {"due_at"},
        ),
        Column(
            "mandatory_source",
            "string",
            "Who says whether the enrollments are mandatory: `lms`, `rule` or `mixed`; null if nobody does",
            COUNTED_SOURCES | {"is_mandatory"},
        ),
        *_RULE_COLUMNS,
        _LEFT_OUT_BY_RULE,
    ),
    key=("course_id",),
    counted_by=COUNTED_SOURCES,
)

ACCOUNT_COMPLETION = Table(
    "account_completion",
    "One row per account, even without any enrollment: the progress of its learners at the end of the day.",
    (*_FIRST_COLUMNS, *_LAST_COLUMNS, *_RULE_COLUMNS, _LEFT_OUT_BY_RULE),
    counted_by=COUNTED_SOURCES,
)

LEARNER_COMPLETION = Table(
    "learner_completion",
    "One row per learner with an enrollment: the learner's progress in all courses at the end of the day.",
    (
        Column("user_id", "string", "Identifier of the learner", frozenset({"user_id"}), nullable=False),
        Column(
            "user_name",
            "string",
            "Name of the learner, from the most recent response with a name",
            COUNTED_SOURCES | {"user_name"},
        ),
        *_COUNT_COLUMNS,
        *(column for rate in RATES if rate.by_enrollment for column in _build_rate_columns(rate)),
        Column("last_completed_at", "timestamp", "When the learner last completed a course", STATUS_SOURCES),
        *_RULE_COLUMNS,
    ),
    key=("user_id",),
    counted_by=COUNTED_SOURCES,
)

_DOCS_OF_SUMS = {
    **NOT_ADDED,
    "oldest_fetched_at": "When the oldest response behind this row was received",
    "learners": "Learners with an enrollment, summed over the accounts: a person in two accounts counts twice",
}


def _build_portfolio_column(column: Column) -> Column:
    """Return a column of an account as a column of all accounts; its source is the account's."""
    return Column(column.name, column.type, _DOCS_OF_SUMS.get(column.name, column.doc), frozenset({column.name}))


PORTFOLIO_COMPLETION = Table(
    "portfolio_completion",
    "One row per day: the sums over the accounts that have this day; each rate is a summed numerator divided by a summed "
    "denominator. A count that is not known of an account adds nothing.",
    (
        Column("accounts", "int64", "Accounts that have completion metrics of this day"),
        Column(
            "accounts_missing", "int64", "Accounts that were active on this day and have no completion metrics of it"
        ),
        *(_build_portfolio_column(column) for column in ACCOUNT_COMPLETION.columns),
    ),
    per_account=False,
)

COMPLETION_TABLES = (COURSE_COMPLETION, ACCOUNT_COMPLETION, LEARNER_COMPLETION)
"""The completion tables in the order of publishing."""
