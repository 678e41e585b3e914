"""Checks of the completion tables: rates, and parts that sum to their whole.

Belongs here: what must hold of the figures of any account. What each figure counts is `metrics/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Check, Finding, Subject, sum_column
from lms_pipeline.checks.snapshot import key_is_unique, schema
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COMPLETION_TABLES, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import STATUSES
from lms_pipeline.wording import choose_form

if TYPE_CHECKING:
    import duckdb

PARTS = {
    "n_all": tuple(f"status_{status}" for status in STATUSES),
    "n_open": ("n_open_started", "n_not_started"),
    "n_due": (
        *("n_on_time", "n_late", "n_due_undated", "n_due_open"),
        *("n_due_failed", "n_due_withdrawn", "n_due_expired", "n_due_unknown"),
    ),
}
"""Counts, and the parts that sum to them: see docs/metrics.md."""
ADDITIVE_COUNTS = ("n_all", "n_completed", "n_eligible")
"""Counts of an account that are the sums of those of its courses, and of its learners."""
NULLABLE_RATE = "pass_rate"
"""The only rate that may be null although its denominator is not: see docs/metrics.md."""
MAX_ROUNDING_ERROR = 1e-9
"""Of a rate times its denominator."""


class Fault(NamedTuple):
    """A condition that must hold for no row."""

    columns: tuple[str, ...]
    """The columns that it compares, the figure first."""
    condition: duckdb.Expression


def rates_are_shares(subject: Subject) -> Finding:
    """Each rate is its numerator divided by its denominator, is between 0 and 1, and is null if the denominator is 0."""
    rates = [rate.name for rate in RATES if rate.name in subject.table.column_names]
    faults = [Fault((rate, f"{rate}_num", f"{rate}_den"), _build_rate_condition(rate)) for rate in rates]
    return _build_finding(
        _find_faults(subject, faults),
        f"All {len(rates)} rates are shares.",
        (
            "rate is not its numerator divided by its denominator",
            "rates are not their numerator divided by their denominator",
        ),
    )


def parts_sum(subject: Subject) -> Finding:
    """The statuses sum to all enrollments, open and due to their parts; courses and learners sum to their account."""
    faults = [Fault((whole, *parts), _build_sum_condition(whole, parts)) for whole, parts in PARTS.items()]
    found = _find_faults(subject, faults)
    if subject.table == ACCOUNT_COMPLETION:
        found += _find_different_totals(subject)
    return _build_finding(
        found,
        "All parts sum to their whole.",
        ("count is not the sum of its parts", "counts are not the sum of their parts"),
    )


def _build_finding(faults: Sequence[dict[str, Any]], passed: str, failed: tuple[str, str]) -> Finding:
    """Return a finding of these faults; `failed` is the end of its sentence for one and for more."""
    count = sum_column(faults, "rows")
    message = (
        f"{count:,} {choose_form(count, *failed)}: materialize the metrics of the day again." if faults else passed
    )
    return Finding(not faults, message, {"wrong": count}, faults[:MAX_EXAMPLE_ROWS])


def _build_rate_condition(name: str) -> duckdb.Expression:
    """Return the condition that a rate is not its numerator divided by its denominator."""
    import duckdb

    rate, numerator, denominator = (duckdb.ColumnExpression(f"{name}{of}") for of in ("", "_num", "_den"))
    zero = duckdb.ConstantExpression(0)
    is_inexact = duckdb.FunctionExpression("abs", rate * denominator - numerator) > MAX_ROUNDING_ERROR
    # a condition of its own: DuckDB skips row groups by their largest value, which leaves out NaN
    is_nan = duckdb.FunctionExpression("isnan", rate)
    is_outside = (rate < zero) | (rate > 1) | (numerator < zero) | (numerator > denominator)
    is_unfounded = rate.isnotnull() & ((denominator == zero) | denominator.isnull())
    is_missing = rate.isnull() & (denominator > zero)
    is_wrong = is_inexact | is_nan | is_outside | is_unfounded
    return is_wrong if name == NULLABLE_RATE else is_wrong | is_missing


def _build_sum_condition(whole: str, parts: Sequence[str]) -> duckdb.Expression:
    """Return the condition that a whole is not the sum of its parts; it never holds if one of them is null."""
    import duckdb

    return duckdb.ColumnExpression(whole) != reduce(add, map(duckdb.ColumnExpression, parts))


def _find_faults(subject: Subject, faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Return each fault that a row has: how many rows, and the values of the first."""
    import duckdb

    published = subject.create_view()
    counts = published.aggregate([duckdb.FunctionExpression("count_if", fault.condition) for fault in faults])
    return [
        {"figure": fault.columns[0], "rows": count, "first": _format_first(published, fault)}
        for fault, count in zip(faults, counts.fetchall()[0], strict=True)
        if count
    ]


def _format_first(published: duckdb.DuckDBPyRelation, fault: Fault) -> str:
    ((*values,),) = published.filter(fault.condition).select(*fault.columns).limit(1).fetchall()
    return ", ".join(f"{name} {value}" for name, value in zip(fault.columns, values, strict=True))


def _find_different_totals(subject: Subject) -> list[dict[str, Any]]:
    """Return the totals of the account that differ from those of its courses or learners of the same snapshot."""
    found = []
    for table in COMPLETION_TABLES:
        if table == subject.table or not subject.has_same_metadata(table, "source_run_id"):
            continue
        here, there = subject.query("totals.sql", other=str(subject.path(table)))
        found += [
            {"figure": name, "rows": 1, "first": f"{here[name]}, and {there[name]} in {table.name}"}
            for name in ADDITIVE_COUNTS
            if here[name] != there[name]
        ]
    return found


_CHECKED_TABLES = (ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION)

METRIC_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, _CHECKED_TABLES),
    Check(key_is_unique, (COURSE_COMPLETION, LEARNER_COMPLETION)),
    Check(rates_are_shares, _CHECKED_TABLES),
    Check(parts_sum, _CHECKED_TABLES),
)
"""The checks of the completion tables."""
