"""Whether the figures of the completion tables can be.

What belongs here: what must hold of any count and rate, whatever they count. What they count is `metrics/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, Subject, counted
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COMPLETION_TABLES
from lms_pipeline.tables.pulled import STATUSES

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
SUMMED = ("n_all", "n_completed", "n_eligible")
"""Counts of an account that are the sums of those of its courses, and of its learners."""
NO_SIGN = "pass_rate"
"""The one rate that may be null over a denominator: see docs/metrics.md."""
ROUNDING = 1e-9


class Fault(NamedTuple):
    """Something that must hold for no row."""

    columns: tuple[str, ...]
    """What it is about: the figure first."""
    holds: duckdb.Expression


def rates_are_shares(subject: Subject) -> Finding:
    """Each rate is its numerator over its denominator, from 0 to 1, and null where that is zero."""
    rates = [rate.name for rate in RATES if rate.name in subject.table.column_names]
    faults = [Fault((rate, f"{rate}_num", f"{rate}_den"), _is_no_share(rate)) for rate in rates]
    return _found(
        _faulty(subject, faults),
        f"All {len(rates)} rates are shares.",
        "rates are not their numerator over their denominator",
    )


def parts_sum(subject: Subject) -> Finding:
    """The statuses sum to all, open and due to their parts; courses, and learners, sum to their account."""
    wrong = _faulty(
        subject, [Fault((whole, *parts), _differs(whole, parts)) for whole, parts in PARTS.items()]
    )
    if subject.table == ACCOUNT_COMPLETION:
        wrong += _other_totals(subject)
    return _found(wrong, "All parts sum to their whole.", "counts are not the sum of their parts")


def _found(wrong: Sequence[dict[str, Any]], fine: str, trouble: str) -> Finding:
    count = counted(wrong, "rows")
    message = f"{count:,} {trouble}: materialize the metrics of the day again." if wrong else fine
    return Finding(not wrong, message, {"wrong": count}, wrong[:MAX_EXAMPLE_ROWS])


def _is_no_share(name: str) -> duckdb.Expression:
    import duckdb

    rate, numerator, denominator = (duckdb.ColumnExpression(f"{name}{of}") for of in ("", "_num", "_den"))
    zero = duckdb.ConstantExpression(0)
    off = duckdb.FunctionExpression("abs", rate * denominator - numerator) > ROUNDING
    # said apart: DuckDB skips row groups by their largest value, and that leaves out what is no number
    no_number = duckdb.FunctionExpression("isnan", rate)
    outside = (rate < zero) | (rate > 1) | (numerator < zero) | (numerator > denominator)
    unfounded = rate.isnotnull() & ((denominator == zero) | denominator.isnull())
    wanting = rate.isnull() & (denominator > zero)
    wrong = off | no_number | outside | unfounded
    return wrong if name == NO_SIGN else wrong | wanting


def _differs(whole: str, parts: Sequence[str]) -> duckdb.Expression:
    """Where one of them is not known, nothing is compared."""
    import duckdb

    return duckdb.ColumnExpression(whole) != reduce(add, map(duckdb.ColumnExpression, parts))


def _faulty(subject: Subject, faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Of each fault that there is: how many rows have it, and what the first of them says."""
    import duckdb

    published = subject.published()
    counts = published.aggregate([duckdb.FunctionExpression("count_if", fault.holds) for fault in faults])
    return [
        {"figure": fault.columns[0], "rows": count, "first": _first(published, fault)}
        for fault, count in zip(faults, counts.fetchall()[0], strict=True)
        if count
    ]


def _first(published: duckdb.DuckDBPyRelation, fault: Fault) -> str:
    ((*values,),) = published.filter(fault.holds).select(*fault.columns).limit(1).fetchall()
    return ", ".join(f"{name} {value}" for name, value in zip(fault.columns, values, strict=True))


def _other_totals(subject: Subject) -> list[dict[str, Any]]:
    wrong = []
    for table in COMPLETION_TABLES:
        if table == subject.table or not subject.agrees_with(table, "source_run_id"):
            continue
        here, there = subject.ask("totals.sql", other=str(subject.path(table)))
        wrong += [
            {"figure": name, "rows": 1, "first": f"{here[name]}, and {there[name]} in {table.name}"}
            for name in SUMMED
            if here[name] != there[name]
        ]
    return wrong
