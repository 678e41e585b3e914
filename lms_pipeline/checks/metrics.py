"""Checks of the metric tables: rates, parts that sum to their whole, and curves that do not fall.

Belongs here: what must hold of the figures of any account. What each figure counts is `metrics/`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Check, Finding, Subject, sum_column
from lms_pipeline.checks.over_time import MAX_ROUNDING_ERROR, OVER_TIME_TABLES, find_faults
from lms_pipeline.checks.rules import has_rules, rules_apply
from lms_pipeline.checks.snapshot import key_is_unique, schema
from lms_pipeline.errors import choose_form
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import STATUSES
from lms_pipeline.tables.schema import Table, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

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
COMPARED_WITH: Mapping[Table, Sequence[Table]] = {
    ACCOUNT_COMPLETION: (COURSE_COMPLETION, LEARNER_COMPLETION),
    COHORT_COMPLETION: (ACCOUNT_COMPLETION, COURSE_COMPLETION),
    COMPLETION_CURVE: (ACCOUNT_COMPLETION, COURSE_COMPLETION),
    ATTENTION: (ACCOUNT_COMPLETION,),
}
"""The tables whose sums must be those of a table, if they are of the same snapshot."""
NULLABLE_RATE = "pass_rate"
"""The only rate that may be null although its denominator is not: see docs/metrics.md."""


class Measured(NamedTuple):
    """What one pass over the file of a completion table finds."""

    faults: Mapping[str, dict[str, Any]]
    """Each fault that a row has, by its figure: how many rows, and the values of the first."""
    totals: Mapping[str, int | None]
    """The sums of `ADDITIVE_COUNTS`; None if no row has the count."""


def rates_are_shares(subject: Subject) -> Finding:
    """Each rate is its numerator divided by its denominator, is between 0 and 1, and is null if the denominator is 0.

    Each share of a curve is between 0 and 1, and within its band.
    """
    if subject.table in OVER_TIME_TABLES:
        found, passed = find_faults(subject, "share"), "All rates are shares."
    else:
        rates, faults = _find_rates(subject.table), subject.compute_once(_measure).faults
        found = [faults[name] for name in rates if name in faults]
        passed = f"All {len(rates)} rates are shares."
    return _build_finding(
        found,
        passed,
        (
            "rate is not its numerator divided by its denominator",
            "rates are not their numerator divided by their denominator",
        ),
    )


def parts_sum(subject: Subject) -> Finding:
    """The statuses sum to all enrollments, open and due to their parts; courses and learners sum to their account.

    The cohorts of an account or course and what they leave out sum to all enrollments, and so do those at risk on the first
    day of a curve; the open, completed and left shares of a day sum to 1; as many enrollments need attention because they are
    overdue as are overdue. Tables that are compared were computed with the same rules.
    """
    if others := _find_tables_of_other_rules(subject):
        names = " and ".join([subject.table.name, *others])
        message = f"{names} were computed with different rules: materialize all metrics of the day again."
        return Finding(
            passed=False, message=message, figures={"wrong": len(others)}, rows=[{"table": t} for t in others]
        )
    if subject.table in OVER_TIME_TABLES:
        found = find_faults(subject, "sum")
    else:
        faults = subject.compute_once(_measure).faults
        found = [faults[name] for name in PARTS if name in faults]
        if subject.table == ACCOUNT_COMPLETION:
            found += _find_different_totals(subject)
    return _build_finding(
        found,
        "All parts sum to their whole.",
        ("count is not the sum of its parts", "counts are not the sum of their parts"),
        _describe_other_runs(subject),
    )


def _find_tables_of_other_rules(subject: Subject) -> list[str]:
    """Return the names of the tables of the same snapshot that were computed with other rules: their sums may differ."""
    return [
        table.name
        for table in COMPARED_WITH.get(subject.table, ())
        if subject.has_same_metadata(table, "source_run_id") and not subject.is_comparable(table)
    ]


def _describe_other_runs(subject: Subject) -> str:
    """Return which of the compared tables another run computed, as a possible cause: files do not say with which roles."""
    names = [
        table.name
        for table in COMPARED_WITH.get(subject.table, ())
        if subject.is_comparable(table) and not subject.has_same_metadata(table, "run_id")
    ]
    return f", and another run computed {' and '.join(names)}, maybe with other excluded roles" if names else ""


def curves_are_monotone(subject: Subject) -> Finding:
    """From day to day completed and left shares do not fall, and the open share does not rise.

    From month to month the completions of a cohort do not fall, and no row is beyond the snapshot's month or 24 months.
    """
    return _build_finding(
        find_faults(subject, "order"),
        "All curves and cohorts are monotone.",
        ("row does not follow from the row before it", "rows do not follow from the row before them"),
    )


def _build_finding(faults: Sequence[dict[str, Any]], passed: str, failed: tuple[str, str], cause: str = "") -> Finding:
    """Return a finding of these faults; `failed` is the end of its sentence for one and for more, before a possible cause."""
    count = sum_column(faults, "rows")
    message = (
        f"{count:,} {choose_form(count, *failed)}{cause}: materialize the metrics of the day again."
        if faults
        else passed
    )
    return Finding(not faults, message, {"wrong": count}, faults[:MAX_EXAMPLE_ROWS])


def _find_rates(table: Table) -> list[str]:
    return [rate.name for rate in RATES if rate.name in table.column_names]


def _measure(subject: Subject) -> Measured:
    """Find the faults of all checks, and the totals, in one pass over the file."""
    import pyarrow.compute as pc

    rates = [(name, f"{name}_num", f"{name}_den") for name in _find_rates(subject.table)]
    wholes = [(whole, *parts) for whole, parts in PARTS.items()]
    columns = dict.fromkeys(name for compared in (*rates, *wholes, ADDITIVE_COUNTS) for name in compared)
    faults: dict[str, dict[str, Any]] = {}
    totals: dict[str, int | None] = dict.fromkeys(ADDITIVE_COUNTS)
    for rows in _iter_batches(subject, list(columns)):
        for compared, is_wrong in (*_find_wrong_rates(rows, rates), *_find_wrong_sums(rows, wholes)):
            if count := pc.sum(is_wrong).as_py():
                [first] = rows.filter(is_wrong).slice(0, 1).select(compared).to_pylist()
                text = ", ".join(f"{name} {value}" for name, value in first.items())
                found = faults.setdefault(compared[0], {"figure": compared[0], "rows": 0, "first": text})
                found["rows"] += count
        for name in ADDITIVE_COUNTS:
            if (total := pc.sum(rows[name]).as_py()) is not None:
                totals[name] = (totals[name] or 0) + total
    return Measured(faults, totals)


def _iter_batches(subject: Subject, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the file with these columns; one that an older file lacks is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lms_pipeline.lake.files import convert_read_errors

    described = arrow_schema(subject.table)
    schema = pa.schema([described.field(name) for name in columns])
    # no threads: handing sixty small columns to them takes longer than to read these
    with (
        convert_read_errors(subject.file),
        pq.ParquetFile(subject.file, metadata=subject.footer, pre_buffer=False) as file,
    ):
        present = {*columns}.intersection(file.schema_arrow.names)
        for batch in file.iter_batches(columns=sorted(present), use_threads=False):
            arrays = [
                batch[field.name].cast(field.type) if field.name in present else pa.nulls(len(batch), field.type)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _find_wrong_rates(
    rows: pa.RecordBatch, rates: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[tuple[str, str, str], pa.Array]]:
    """Yield the names of each rate, its numerator and denominator, and the rows where they do not fit.

    All rates are compared at once: a call for each takes longer than the values of a small account.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ([rows[name] for name in names] for names in zip(*rates, strict=True))
    rate, numerator, denominator = (pa.concat_arrays(arrays) for arrays in columns)
    # from a buffer: the first Python value that Arrow converts imports pandas, which takes as long as all checks
    numbers = pa.py_buffer(struct.pack("3d", 0, 1, MAX_ROUNDING_ERROR))
    zero, one, max_error = pa.Array.from_buffers(pa.float64(), 3, [None, numbers])
    conditions = [
        # a share of the denominator: the product of a rate and 50 million is rounded by more than 1e-9
        pc.greater(pc.abs(pc.subtract(pc.multiply(rate, denominator), numerator)), pc.multiply(max_error, denominator)),
        pc.is_nan(rate),
        pc.less(rate, zero),
        pc.greater(rate, one),
        pc.less(numerator, zero),
        pc.greater(numerator, denominator),
        pc.and_not(pc.is_valid(rate), pc.and_not_kleene(pc.is_valid(denominator), pc.equal(denominator, zero))),
    ]
    is_wrong = reduce(pc.or_kleene, conditions)
    is_missing = pc.and_(pc.is_null(rate), pc.greater(denominator, zero))
    for number, names in enumerate(rates):
        wrong, missing = (found.slice(number * len(rows), len(rows)) for found in (is_wrong, is_missing))
        yield names, wrong if names[0] == NULLABLE_RATE else pc.or_kleene(wrong, missing)


def _find_wrong_sums(
    rows: pa.RecordBatch, wholes: Sequence[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], pa.Array]]:
    """Yield the names of each whole and its parts, and the rows where they do not sum; null if one of them is."""
    import pyarrow.compute as pc

    for names in wholes:
        whole, *parts = (rows[name] for name in names)
        yield names, pc.not_equal(whole, reduce(pc.add, parts))


def _find_different_totals(subject: Subject) -> list[dict[str, Any]]:
    """Return the totals of the account that differ from those of its courses or learners of the same snapshot and rules."""
    here = subject.compute_once(_measure).totals
    found = []
    for table in COMPARED_WITH[ACCOUNT_COMPLETION]:
        if not subject.is_comparable(table):
            continue
        there = subject.open_table(table).compute_once(_measure).totals
        found += [
            {"figure": name, "rows": 1, "first": f"{here[name]}, and {there[name] or 0} in {table.name}"}
            for name in ADDITIVE_COUNTS
            if here[name] != (there[name] or 0)
        ]
    return found


_COUNTED_TABLES = (ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION)
_SHARED_TABLES = (*_COUNTED_TABLES, COHORT_COMPLETION, COMPLETION_CURVE)
"""The tables with rates or shares."""

METRIC_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, (*_SHARED_TABLES, ATTENTION)),
    Check(key_is_unique, (COURSE_COMPLETION, LEARNER_COMPLETION, COHORT_COMPLETION, COMPLETION_CURVE)),
    Check(rates_are_shares, _SHARED_TABLES),
    Check(parts_sum, (*_SHARED_TABLES, ATTENTION)),
    Check(curves_are_monotone, (COMPLETION_CURVE, COHORT_COMPLETION)),
    Check(rules_apply, (ACCOUNT_COMPLETION,), is_error=False, applies=has_rules),
)
"""The checks of the metric tables."""

PORTFOLIO_CHECKS: tuple[Check[Subject], ...] = tuple(
    Check(run, (PORTFOLIO_COMPLETION,)) for run in (schema, rates_are_shares, parts_sum)
)
"""The checks of `portfolio_completion`."""
