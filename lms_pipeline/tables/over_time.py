"""The tables of completion over time: cohorts, curves, and the view of the trend.

Belongs here: their columns. Not here: the sets and rates (`measures.py`), how they are computed (`metrics/sql/`).
"""

from __future__ import annotations

from collections.abc import Iterator

from lms_pipeline.tables.measures import COUNTED_SOURCES, RATES, STATUS_SOURCES
from lms_pipeline.tables.schema import Column, Table

_SCOPE = Column("scope", "string", "What the row is about: `account` or `course`", nullable=False)
_COURSE_ID = Column("course_id", "string", "Identifier of the course; null for the account", frozenset({"course_id"}))
_COURSE_TITLE = Column(
    "course_title",
    "string",
    "Title of the course, from the most recent response with a title; null for the account",
    COUNTED_SOURCES | {"course_title"},
)
_LEFT_OUT = Column(
    "left_out",
    "int64",
    "Enrollments of the account or course in no row, the same in each row: not known when they began, completed on an "
    "unknown day, or completed on a day before they began",
    STATUS_SOURCES,
)

COHORT_COMPLETION = Table(
    "cohort_completion",
    "One row per account or course, month in which enrollments began (the cohort), and number of months since then, 0 to "
    "24, to the month of the snapshot: how many of the cohort had completed by the end of that month.",
    (
        _SCOPE,
        _COURSE_ID,
        _COURSE_TITLE,
        Column(
            "cohort", "date", "First day of the month in which the enrollments began", COUNTED_SOURCES, nullable=False
        ),
        Column(
            "months_since", "int64", "Months from the cohort's month to the month of this row, 0 to 24", nullable=False
        ),
        Column("enrolled", "int64", "Enrollments of the cohort", STATUS_SOURCES),
        Column(
            "completed",
            "int64",
            "Enrollments of the cohort ever completed by the end of the month of this row; by the day of the snapshot "
            "if that month has not ended",
            STATUS_SOURCES,
        ),
        Column(
            "rate",
            "double",
            "0 to 1: completed / enrolled; null if the month of this row has not ended",
            STATUS_SOURCES,
        ),
        Column("is_whole", "bool", "Whether the month of this row had ended when the snapshot's day ended"),
        _LEFT_OUT,
    ),
    key=("scope", "course_id", "cohort", "months_since"),
    optional_key=("course_id",),
    counted_by=COUNTED_SOURCES,
)

_END_SOURCES = STATUS_SOURCES | {"last_activity_at", "updated_at"}
"""Decide when an enrollment that was not completed ended."""


def _build_share_columns(name: str, doc: str) -> Iterator[Column]:
    yield Column(name, "double", f"0 to 1: {doc}", _END_SOURCES)
    for suffix, bound in (("low", "Lower"), ("high", "Upper")):
        yield Column(
            f"{name}_{suffix}",
            "double",
            f"{bound} bound of the 95 % confidence band of {name}; null if that is 0 or 1",
            _END_SOURCES,
        )


COMPLETION_CURVE = Table(
    "completion_curve",
    "One row per account or course and day since the beginning (0, each day on which an enrollment was completed or left, "
    "and the last day observed): the share completed, left and still open by that day. The curve takes into account that "
    "recent enrollments have had less time.",
    (
        _SCOPE,
        _COURSE_ID,
        _COURSE_TITLE,
        Column("day", "int64", "Whole calendar days since the enrollments began", _END_SOURCES, nullable=False),
        Column("at_risk", "int64", "Enrollments observed to this day or longer and not ended before it", _END_SOURCES),
        Column("completed", "int64", "Enrollments completed on this day", STATUS_SOURCES),
        Column("left", "int64", "Enrollments that failed, were withdrawn or timed out on this day", _END_SOURCES),
        Column(
            "censored",
            "int64",
            "Enrollments observed to this day and open, or of unknown status, at its end",
            STATUS_SOURCES,
        ),
        *_build_share_columns("open_share", "share that has neither completed nor left by the end of this day"),
        *_build_share_columns("completed_share", "share that has completed by the end of this day"),
        *_build_share_columns("left_share", "share that has left by the end of this day"),
        Column(
            "undated_ends",
            "int64",
            "Enrollments of the account or course that left on an unknown day, the same in each row: they leave on the "
            "snapshot's day",
            _END_SOURCES,
        ),
        _LEFT_OUT,
    ),
    key=("scope", "course_id", "day"),
    optional_key=("course_id",),
    counted_by=COUNTED_SOURCES,
)

CHANGE_DAYS = (7, 28)
"""Over how many days the trend compares."""


def _build_change_columns(name: str, kind: str) -> Iterator[Column]:
    for days in CHANGE_DAYS:
        doc = f"{name} minus that of the day compared_{days}d; null if there is none, or it can't be compared"
        yield Column(f"{name}_change_{days}d", "double" if kind == "double" else "int64", doc)


COMPLETION_TREND = Table(
    "completion_trend",
    "A view, not stored. One row per portfolio, account or course and day with metrics: its rates, and their changes over 7 "
    "and 28 days.",
    (
        Column("scope", "string", "What the row is about: `portfolio`, `account` or `course`", nullable=False),
        Column("account_id", "string", "Identifier of the account; null for the portfolio"),
        Column("course_id", "string", "Identifier of the course; null for the portfolio and for an account"),
        Column("course_title", "string", "Title of the course; null for the portfolio and for an account"),
        Column("snapshot_date", "date", "The day of the row", nullable=False),
        Column("previous_date", "date", "The day of the row before it of the same portfolio, account or course"),
        Column("gap_days", "int64", "Days from previous_date to snapshot_date: 1 without a gap"),
        *(
            Column(
                f"compared_{days}d",
                "date",
                f"The day that this row is compared with: {days} days earlier, otherwise the latest of the 3 days before that",
            )
            for days in CHANGE_DAYS
        ),
        Column(
            "is_break",
            "bool",
            "Whether a change is null because one of the two days is reconstructed and the other not. Always false: this "
            "version reconstructs no enrollments",
        ),
        Column("n_all", "int64", "Enrollments that count, which is the denominator of completion_rate"),
        Column("n_completed", "int64", "Enrollments that are completed"),
        *(Column(rate.name, "double", f"0 to 1: {rate.numerator} / {rate.denominator}") for rate in RATES),
        *(column for rate in RATES for column in _build_change_columns(rate.name, "double")),
        *_build_change_columns("n_all", "int64"),
        *_build_change_columns("n_completed", "int64"),
    ),
)
