"""Faults of cohorts, curves and attention: what can't be of any account.

Belongs here: finding them by SQL, once for all checks of a file. Not here: the checks (`metrics.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from lms_pipeline.checks.base import Subject
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    import pyarrow as pa

OVER_TIME_TABLES = (COHORT_COMPLETION, COMPLETION_CURVE, ATTENTION)
"""The tables whose faults are found here."""
MAX_ROUNDING_ERROR = 1e-9
"""Of a rate, and of a sum of shares."""

Kind = Literal["share", "sum", "order"]


def find_faults(subject: Subject, kind: Kind) -> list[dict[str, Any]]:
    """Return the faults of a kind that rows of the file have, each with its figure, the rows and the first of them."""
    faults = subject.compute_once(_QUERIES[subject.table])
    return [
        {name: value for name, value in fault.items() if name != "kind"} for fault in faults if fault["kind"] == kind
    ]


def _find_cohort_faults(subject: Subject) -> list[dict[str, Any]]:
    return _query_over_time(subject, "cohort_faults.sql", snapshot_date=subject.partition.day)


def _find_curve_faults(subject: Subject) -> list[dict[str, Any]]:
    return _query_over_time(subject, "curve_faults.sql")


def _find_attention_faults(subject: Subject) -> list[dict[str, Any]]:
    subject.create_view()
    account = _read_same_snapshot(subject, ACCOUNT_COMPLETION, ["n_open", "n_overdue"])
    subject.connection.from_arrow(account).create_view("account")
    return subject.query("attention_faults.sql")


_QUERIES = {
    COHORT_COMPLETION: _find_cohort_faults,
    COMPLETION_CURVE: _find_curve_faults,
    ATTENTION: _find_attention_faults,
}


def _query_over_time(subject: Subject, name: str, **values: object) -> list[dict[str, Any]]:
    subject.create_view()
    subject.connection.from_arrow(_read_wholes(subject)).create_view("wholes")
    return subject.query(name, max_error=MAX_ROUNDING_ERROR, **values)


def _read_wholes(subject: Subject) -> pa.Table:
    """Return how many enrollments the account and each course have, by the tables of the same snapshot."""
    import pyarrow as pa

    account = _read_same_snapshot(subject, ACCOUNT_COMPLETION, ["n_all"])
    courses = _read_same_snapshot(subject, COURSE_COMPLETION, ["course_id", "n_all"])
    return pa.table(
        {
            "scope": pa.array(["account"] * len(account) + ["course"] * len(courses), pa.string()),
            "course_id": pa.concat_arrays([pa.nulls(len(account), pa.string()), *courses["course_id"].chunks]),
            "n_all": pa.concat_arrays([*account["n_all"].chunks, *courses["n_all"].chunks]),
        }
    )


def _read_same_snapshot(subject: Subject, table: Table, columns: Sequence[str]) -> pa.Table:
    """Return columns of another table of the partition; no rows if it is of another snapshot, or of other rules."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lms_pipeline.lake.files import convert_read_errors
    from lms_pipeline.tables.schema import arrow_schema

    if not subject.is_comparable(table):
        described = arrow_schema(table)
        return pa.schema([described.field(name) for name in columns]).empty_table()
    path = subject.path(table)
    with convert_read_errors(path), pq.ParquetFile(path) as file:
        return file.read(columns=list(columns))
