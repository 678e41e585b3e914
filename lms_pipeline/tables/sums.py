"""How rows of accounts or courses add up to one row: which columns have a sum, and the rates of the sums.

Belongs here: the one rule for the portfolio and the report. Not here: which rows are added (`metrics/portfolio.py`,
`report/small_groups.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.schema import Column, Table

NOT_ADDED = {
    "days_to_complete_p50": "Always null: percentiles do not add up",
    "days_to_complete_p90": "Always null: percentiles do not add up",
    "progress_mean": "Always null: the means of accounts do not add up",
}
"""The columns of an account that are null in a sum, each with the reason. Every other number adds up."""
NOT_ADDED_OVER_COURSES = "learner_compliance_rate"
"""The rate of an account that is no sum over its courses: a learner counts once, with all courses."""


def add_up(table: Table, get_values: Callable[[str], Iterable[Any]]) -> dict[str, Any]:
    """Return a row of a completion table that is the sum of rows.

    A value that is null in a row adds nothing; a sum is null only if it is null in all. Of timestamps it is the oldest.
    Each rate is the sum of its numerators divided by the sum of its denominators.

    Args:
        table: the table of the row.
        get_values: returns the values of a column in the rows.
    """
    rates = {rate.name for rate in RATES}
    sums = {column.name: _add_up_column(column, get_values) for column in table.columns if column.name not in rates}
    return sums | {name: divide_rate(name, sums) for name in table.column_names if name in rates}


def divide_rate(name: str, row: Mapping[str, Any]) -> float | None:
    """Return a rate from its numerator and denominator in a row; None without a denominator, or a sign of what it rates."""
    counted, of = row[f"{name}_num"], row[f"{name}_den"]
    if not of or counted is None:
        return None
    if name == "pass_rate" and not (row["status_passed"] or row["status_failed"]):
        return None  # no sign of an assessment
    return float(counted / of)


def _add_up_column(column: Column, get_values: Callable[[str], Iterable[Any]]) -> float | datetime | None:
    if column.name in NOT_ADDED:
        return None
    known = [value for value in get_values(column.name) if value is not None]
    if not known:
        return None
    if column.type == "timestamp":
        oldest: datetime = min(known)
        return oldest
    return math.fsum(known) if column.type == "double" else sum(known)
