"""Generated enrollments, and what a change of the input may do to the figures; curves and cohorts by a second way."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.files import TableFile
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import KEYS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline.transform.dedupe import deduplicate
from lms_pipeline_tests.metrics.test_properties import ZONES, account, moment
from lms_pipeline_tests.support import plain_metrics
from lms_pipeline_tests.support.enrollment_files import DAY, compute_tables, enrollments_file, write
from lms_pipeline_tests.support.expected_curves import CurveRow, compute_cohorts, compute_curve, find_ends
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.oulad_states import to_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.tables.schema import Table

    Row = dict[str, Any]

COMPLETION_RATES = (
    "completion_rate", "completion_rate_eligible", "completion_rate_started", "ever_completion_rate",
    "learner_completion_rate",
)  # fmt: skip
SHARES = ("open_share", "completed_share", "left_share")
SEEDS = st.integers(0, 2**32)
few_examples = settings(
    max_examples=3,  # of a hundred enrollments in twelve courses each
    deadline=None,
    # a smaller seed is not a smaller example; by default two accounts, whose tables are computed once for all tests
    phases=choose((Phase.explicit,), (Phase.explicit, Phase.reuse, Phase.generate)),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@cache
def generate(seed: int, courses: int = 12, size: int = 9) -> list[Row]:
    """Return enrollments in several courses, each with a key of its own. Read-only."""
    rows = [
        row | {"course_id": f"c{number}"}
        for number in range(courses)
        for row in account(seed + number, size * (number + 1) % 40)
    ]
    return [row | {"enrollment_id": f"e{position}"} for position, row in enumerate(rows)]


@cache
def compute_generated(seed: int, zone: str) -> dict[Table, list[Row]]:
    """Return every metric table of generated enrollments, each account and zone once. Read-only."""
    with TemporaryDirectory() as folder:
        file = enrollments_file(write(Path(folder) / "data.parquet", generate(seed)), zone=zone)
        return dict(zip(METRIC_TABLES, compute_tables(METRIC_TABLES, file), strict=True))


def compare_courses(folder: Path, seed: int, rows: list[Row], zone: str) -> Iterator[tuple[str, Row, Row]]:
    """Yield each course with its completion in the generated enrollments, and in these rows; the account is course `""`."""
    tables = ACCOUNT_COMPLETION, COURSE_COMPLETION
    after = compute_tables(tables, enrollments_file(write(folder / "data.parquet", rows), zone=zone))
    before = [compute_generated(seed, zone)[table] for table in tables]
    of_courses = [{row["course_id"]: row for row in courses} | {"": whole} for [whole], courses in (before, after)]
    for course, row in of_courses[0].items():
        yield course, row, of_courses[1][course]


def build_states(sets: plain_metrics.Sets) -> pd.DataFrame:
    """Return the enrollments that count as states, as `oulad_states` has them."""

    def find_day(row: Row, name: str) -> float | None:
        day = sets.on(row[name])
        return None if day is None or day > sets.day else to_number(day)

    rows = [sets.rows[position] for position in sorted(sets.all)]
    days = {"began": "began", "completed": "completed_at", "activity": "last_activity_at", "updated": "updated_at"}
    columns = {name: pd.Series([find_day(row, field) for row in rows], dtype=float) for name, field in days.items()}
    texts = {"course": [row["course_id"] for row in rows], "status": [row["status"] for row in rows]}
    return pd.DataFrame({**texts, **columns})


def split_scopes(states: pd.DataFrame) -> dict[str | None, pd.DataFrame]:
    return {None: states} | {str(course): group for course, group in states.groupby("course")}


@few_examples
@example(seed=1, zone="UTC")
@example(seed=2, zone=ZONES[2])
@given(seed=SEEDS, zone=st.sampled_from(ZONES))
def test_a_second_implementation_computes_the_same_curves(seed: int, zone: str) -> None:
    states = build_states(plain_metrics.Sets(generate(seed), DAY, zone))
    found = compute_generated(seed, zone)[COMPLETION_CURVE]
    expected: dict[tuple[str | None, int], Row] = {}
    for course, group in split_scopes(states).items():
        ends = find_ends(group, to_number(DAY))
        for day, of_day in compute_curve(ends).items():
            expected[course, day] = of_day._asdict() | {"undated_ends": ends.undated, "left_out": ends.left_out}
    assert {(row["course_id"], row["day"]) for row in found} == expected.keys()
    for row in found:
        shown = {name: row[name] for name in (*CurveRow._fields, "undated_ends", "left_out")}
        assert shown == pytest.approx(expected[row["course_id"], row["day"]], abs=1e-9), row["course_id"]


@few_examples
@example(seed=1, zone="UTC", day=DAY)
@example(seed=2, zone=ZONES[2], day=date(2026, 3, 30))
@given(seed=SEEDS, zone=st.sampled_from(ZONES), day=st.sampled_from((DAY, date(2026, 3, 30))))
def test_a_second_implementation_computes_the_same_cohorts(tmp_path: Path, seed: int, zone: str, day: date) -> None:
    rows = generate(seed)
    states = build_states(plain_metrics.Sets(rows, day, zone))
    if day == DAY:
        found = compute_generated(seed, zone)[COHORT_COMPLETION]
    else:
        file = enrollments_file(write(tmp_path / "data.parquet", rows), day, zone)
        [found] = compute_tables((COHORT_COMPLETION,), file)
    assert {
        (row["course_id"], row["cohort"], row["months_since"]): (row["enrolled"], row["completed"], row["rate"])
        for row in found
    } == compute_cohorts(states, to_number(day))
    assert all(row["is_whole"] == (row["rate"] is not None) for row in found)


@few_examples
@example(seed=1, zone="UTC")
@example(seed=2, zone=ZONES[2])
@given(seed=SEEDS, zone=st.sampled_from(ZONES))
def test_a_second_implementation_finds_the_same_who_need_attention(seed: int, zone: str) -> None:
    sets = plain_metrics.Sets(generate(seed), DAY, zone)
    found = compute_generated(seed, zone)[ATTENTION]
    expected = {
        str(sets.rows[position]["enrollment_id"]): find_reasons(sets, position)
        for position in sets.sets["open"] - sets.sets["superseded"]
    }
    assert {row["enrollment_id"]: (row["reasons"], row["days"]) for row in found} == {
        enrollment: (",".join(reasons), next(iter(reasons.values())))
        for enrollment, reasons in expected.items()
        if reasons
    }


def find_reasons(sets: plain_metrics.Sets, position: int) -> dict[str, int | None]:
    """Return why an open enrollment needs attention, strongest first, each with its days; no earlier snapshot is known."""
    row, progress = sets.rows[position], sets.rows[position]["progress_percent"]
    due, began, seen = (sets.on(row[name]) for name in ("due_at", "began", "last_activity_at"))
    if seen is not None and seen > sets.day:
        seen = None
    left = None if due is None else (due - sets.day).days
    open_for, quiet = (None if day is None else (sets.day - day).days for day in (began, seen))
    reasons: dict[str, int | None] = {}
    if position in sets.sets["overdue"]:
        reasons["overdue"] = None if left is None or left > 0 else -left
    if left is not None and 1 <= left <= 7:
        pace = 100.0 if open_for is None else 100 * open_for / (open_for + left)
        if progress is None or progress < pace:
            reasons["due_soon"] = left
    if progress is not None and progress >= 100:
        reasons["stuck"] = quiet
    if position in sets.sets["started"] and quiet is not None and quiet >= 14:
        reasons["idle"] = quiet
    if position in sets.sets["not_started"] and open_for is not None and open_for >= 14:
        reasons["never_started"] = open_for
    return reasons


@few_examples
@example(seed=1, zone="UTC")
@example(seed=2, zone=ZONES[2])
@given(seed=SEEDS, zone=st.sampled_from(ZONES))
def test_tables_over_time_sum_to_the_enrollments(seed: int, zone: str) -> None:
    tables = ACCOUNT_COMPLETION, COURSE_COMPLETION, COHORT_COMPLETION, COMPLETION_CURVE
    [whole], courses, cohorts, curves = (compute_generated(seed, zone)[table] for table in tables)
    n_all = {None: whole["n_all"]} | {row["course_id"]: row["n_all"] for row in courses}
    enrolled: Counter[str | None] = Counter()
    for row in cohorts:
        assert row["cohort"] <= DAY
        if row["months_since"] == 0:
            enrolled[row["course_id"]] += row["enrolled"]
        assert enrolled.keys() <= n_all.keys()
    left_out = {row["course_id"]: row["left_out"] for row in (*cohorts, *curves)}
    at_start = {row["course_id"]: row["at_risk"] for row in curves if row["day"] == 0}
    for course, count in left_out.items():
        assert enrolled[course] + count == at_start[course] + count == n_all[course]
    check_shares(curves)


def check_shares(curves: list[Row]) -> None:
    """Check that the shares sum to 1 and move in one direction, inside their bands."""
    before: Row = {}
    for row in sorted(curves, key=lambda row: (row["course_id"] or "", row["day"])):
        shares = [row[name] for name in SHARES]
        assert sum(shares) == pytest.approx(1, abs=1e-12)
        for name in SHARES:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            assert -1e-12 <= row[name] <= 1 + 1e-12
            assert low is None or 0 <= low <= row[name] <= high <= 1
        if before.get("course_id", "") == row["course_id"]:
            assert row["open_share"] <= before["open_share"] + 1e-12
            assert row["completed_share"] >= before["completed_share"] - 1e-12
            assert row["left_share"] >= before["left_share"] - 1e-12
        before = row


@few_examples
@example(seed=1, zone="UTC")
@example(seed=2, zone=ZONES[2])
@given(seed=SEEDS, zone=st.sampled_from(ZONES))
def test_order_and_duplicates_of_served_rows_change_nothing(tmp_path: Path, seed: int, zone: str) -> None:
    chance = random.Random(seed)  # noqa: S311
    rows = generate(seed)
    again = [*rows, *chance.sample(rows, len(rows) // 3)]
    chance.shuffle(again)
    twice = compute_tables(METRIC_TABLES, enrollments_file(store_served(tmp_path, again), zone=zone))
    for (table, expected), found in zip(compute_generated(seed, zone).items(), twice, strict=True):
        assert found == [tolerate_rounding(row) for row in expected], table.name


def tolerate_rounding(row: Row) -> Row:
    return {name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in row.items()}


def store_served(folder: Path, rows: list[Row]) -> Path:
    """Write rows as a pull stores them: each key once."""
    path = write(folder / "served.parquet", rows)
    batch = pq.read_table(path).cast(arrow_schema(UNIFIED_ENROLLMENTS)).combine_chunks().to_batches()
    with (
        TableFile(UNIFIED_ENROLLMENTS, folder / "all.parquet") as served,
        TableFile(UNIFIED_ENROLLMENTS, folder / "unique.parquet") as second,
    ):
        for part in batch:
            served.write(part)
        file, _ = deduplicate(served, KEYS["enrollment_id"], open_second=lambda: second, scratch=folder / "scratch")
        file.close({})
    return file.path


@few_examples
@example(seed=1, zone="UTC")
@example(seed=2, zone=ZONES[2])
@given(seed=SEEDS, zone=st.sampled_from(ZONES))
def test_one_more_completed_enrollment_lowers_no_completion_rate(tmp_path: Path, seed: int, zone: str) -> None:
    chance, rows = random.Random(seed), generate(seed)  # noqa: S311
    more = [build_completed(chance, row) for row in {row["course_id"]: row for row in rows}.values()]
    for course, before, after in compare_courses(tmp_path, seed, [*rows, *more], zone):
        for name in COMPLETION_RATES:
            assert before[name] is None or after[name] >= before[name], (course, name)


def build_completed(chance: random.Random, row: Row) -> Row:
    """Return another enrollment in the course of a row, completed on its day or on an unknown day."""
    began = row["fetched_at"] - timedelta(days=chance.randrange(2, 90))
    completed = chance.choice((None, began + timedelta(hours=chance.randrange(40))))
    return {
        "enrollment_id": f"more {row['course_id']}",
        "user_id": chance.choice("abcdefg"),
        "course_id": row["course_id"],
        "status": chance.choice(("completed", "passed", " Completed ")),
        "enrolled_at": chance.choice((None, began)),
        "completed_at": completed,
        "due_at": moment(chance),
        "is_mandatory": chance.choice((None, True)),
    }


@few_examples
@example(seed=1, zone="UTC")
@example(seed=2, zone=ZONES[2])
@given(seed=SEEDS, zone=st.sampled_from(ZONES))
def test_withdrawing_the_overdue_raises_no_rate_unseen(tmp_path: Path, seed: int, zone: str) -> None:
    """Those never completed: one that was completed before, and whose renewal is withdrawn, counts by its completion."""
    chance, rows = random.Random(seed), generate(seed)  # noqa: S311
    sets = plain_metrics.Sets(rows, DAY, zone)
    never_completed = {position for position, row in enumerate(sets.rows) if row["completed_at"] is None}
    overdue = sorted(sets.sets["overdue"] & sets.sets["due"] & never_completed)
    chosen = set(chance.sample(overdue, (len(overdue) + 1) // 2))
    withdrawn = [row | withdraw(sets, row) if position in chosen else row for position, row in enumerate(rows)]
    for course, row, now in compare_courses(tmp_path, seed, withdrawn, zone):
        if row["on_time_rate"] is not None:
            assert now["on_time_rate_den"] == row["on_time_rate_den"]
            assert now["on_time_rate"] <= row["on_time_rate"], course
        if row["n_required"] is not None:
            hidden = row["n_required"] - now["n_required"]
            assert now["n_mandatory_withdrawn"] - row["n_mandatory_withdrawn"] == hidden, course
            assert hidden > 0 or now["compliance_rate"] == row["compliance_rate"], course


def withdraw(sets: plain_metrics.Sets, row: Row) -> Row:
    """Return what changes when it is withdrawn after its due day; on an unknown day if that is the snapshot's."""
    later = row["due_at"] + timedelta(days=1)
    day = sets.on(later)
    is_shown = day is not None and day <= sets.day and later <= row["fetched_at"]
    return {"status": "withdrawn", "completed_at": None, "updated_at": later if is_shown else None}
