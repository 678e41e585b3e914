"""Generated enrollments: parts sum to their whole, and a second implementation computes the same figures."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline_tests.support import plain_metrics
from lms_pipeline_tests.support.enrollment_files import DAY, FETCHED_AT, compute_tables, enrollments_file, write
from lms_pipeline_tests.support.full import choose

if TYPE_CHECKING:
    from pathlib import Path

ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland", "Asia/Tokyo")
SOMETIMES = ("due_at", "is_mandatory", "score", "time_spent_seconds", "role", "attempt_number")
"""Fields that some accounts never have."""
DUE_PARTS = (
    "on_time", "late", "due_undated", "due_open", "due_failed", "due_withdrawn", "due_expired", "due_unknown",
)  # fmt: skip


def moment(chance: random.Random) -> datetime | None:
    """Return a time around the end of the day, where time zones differ, or null; some times are impossible."""
    days = chance.choice((-90, -40, -28, -27, -2, -1, 0, 0, 1, 1, 2, 300))
    hours = chance.choice((0, 0, 2, 4, 11, 18.5, 20))
    if chance.random() < 0.05:
        return datetime(chance.choice((1, 1900, 1970, 1979)), 12, 30, tzinfo=UTC)
    return None if chance.random() < 0.3 else datetime(2026, 3, 31, tzinfo=UTC) + timedelta(days=days, hours=hours)


def enrollment(chance: random.Random, position: int, has: set[str]) -> dict[str, Any]:
    dates = {name: moment(chance) for name in (*plain_metrics.PAST_DATES, "due_at")}
    row: dict[str, Any] = dates | {
        "enrollment_id": chance.choice((None, f"e{position}")),
        "user_id": chance.choice("abcdef"),
        "course_id": chance.choice("xyz"),
        "status": chance.choice(plain_metrics.STATUSES),
        "progress_percent": chance.choice((None, 0.0, 40.0, 100.0)),
        "score": chance.choice((None, 0.0, 55.5)),
        "is_mandatory": chance.choice((None, False, True, True)),
        "attempt_number": chance.choice((None, 1, 2)),
        "time_spent_seconds": chance.choice((None, 0, 90)),
        "role": chance.choice((None, "learner", "Instructor", " observer", "mentor")),
        "source": chance.choice(("unified", "carried", "roster", "reconstructed")),
        "fetched_at": FETCHED_AT - timedelta(hours=chance.choice((0, 0, 0, 12, 24))),
    }
    return row | dict.fromkeys(set(SOMETIMES) - has)


def account(seed: int, size: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)  # noqa: S311
    has = {name for name in SOMETIMES if chance.random() < 0.8}
    return [enrollment(chance, position, has) for position in range(size)]


def check_row(row: dict[str, Any], expected: dict[str, object]) -> None:
    found = {name: value for name, value in row.items() if name in expected}
    assert found == {
        name: pytest.approx(expected[name], rel=1e-12) if isinstance(expected[name], float) else expected[name]
        for name in found
    }


def check_sums(row: dict[str, Any]) -> None:
    assert sum(value for name, value in row.items() if name.startswith("status_")) == row["n_all"]
    assert row["n_open"] == row["n_open_started"] + row["n_not_started"]
    assert row["n_all"] == row["n_eligible"] + row["n_dropped_early"]
    assert row["status_expired"] == row["n_lapsed"] + row["n_timed_out"]
    if row["n_due"] is not None:
        assert row["n_due"] == sum(row[f"n_{part}"] for part in DUE_PARTS)
    for rate in RATES:
        if rate.name not in row:
            continue
        share, num, den = row[rate.name], row[f"{rate.name}_num"], row[f"{rate.name}_den"]
        assert share is None or 0 <= share <= 1
        assert (num is None) == (den is None)
        assert num is None or 0 <= num <= den
        assert share is None or share == pytest.approx(num / den)


@settings(max_examples=choose(4, 10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), size=st.integers(0, 60), zone=st.sampled_from(ZONES))
def test_a_second_implementation_computes_the_same_figures(tmp_path: Path, seed: int, size: int, zone: str) -> None:
    rows = account(seed, size)
    sets = plain_metrics.Sets(rows, DAY, zone)
    file = enrollments_file(write(tmp_path / "data.parquet", rows), zone=zone)

    [whole], courses, learners = compute_tables((ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION), file)
    check_row(whole, plain_metrics.figures(sets, sets.all))
    check_sums(whole)
    assert whole["after_day"] == len(sets.after_day)
    assert whole["left_out_by_role"] == len(sets.by_role)
    assert whole["left_out_by_rule"] == 0
    for found, column in ((courses, "course_id"), (learners, "user_id")):
        groups = {sets.rows[p][column] for p in sets.all}
        assert [row[column] for row in found] == sorted(groups)
        for row in found:
            check_row(row, plain_metrics.figures(sets, {p for p in sets.all if sets.rows[p][column] == row[column]}))
            check_sums(row)


def test_the_second_implementation_has_every_figure() -> None:
    """Otherwise a new column would be compared with nothing."""
    sets = plain_metrics.Sets(account(1, 20), DAY, "UTC")
    elsewhere = {
        "course_id",
        "course_title",
        "user_id",
        "user_name",
        "after_day",
        "left_out_by_role",
        "left_out_by_rule",
    }
    tables = (COURSE_COMPLETION, ACCOUNT_COMPLETION, LEARNER_COMPLETION)
    columns = {name for table in tables for name in table.column_names}
    assert columns <= plain_metrics.figures(sets, sets.all).keys() | elsewhere
