"""Cohorts: enrollments by the month in which they began, and how many completed by the end of each month since.

The snapshot is of 2026-03-31 unless a test says otherwise: March is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.tables.over_time import COHORT_COMPLETION
from lms_pipeline_tests.support.enrollment_files import DAY, compute_rows, enrollments_file, write

Rows = list[dict[str, Any]]
JANUARY, FEBRUARY, MARCH = (date(2026, month, 1) for month in (1, 2, 3))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def enrolled(day: str, completed: str | None = None, *, course: str = "c1", **more: Any) -> dict[str, Any]:
    """Return an enrollment that began and, perhaps, was completed on these days."""
    status = "completed" if completed else "enrolled"
    row = {"user_id": "ann", "course_id": course, "status": status, "enrolled_at": at(day)}
    return row | ({"completed_at": at(completed)} if completed else {}) | more


@pytest.fixture
def cohorts(tmp_path: Path) -> Callable[..., Rows]:
    def compute(*rows: dict[str, Any], day: date = DAY, scope: str = "course", zone: str = "UTC") -> Rows:
        path = write(tmp_path / "data.parquet", rows)
        found = compute_rows(COHORT_COMPLETION, enrollments_file(path, day, zone))
        return [row for row in found if row["scope"] == scope]

    return compute


def figures(rows: Rows, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_a_completion_counts_from_the_month_in_which_it_is(cohorts) -> None:
    rows = cohorts(
        enrolled("2026-01-10", "2026-01-31"), enrolled("2026-01-31", "2026-03-01"), enrolled("2026-01-01"),
        enrolled("2026-01-20"),
    )  # fmt: skip
    assert figures(rows, "cohort", "months_since", "enrolled", "completed", "rate", "is_whole") == [
        (JANUARY, 0, 4, 1, 0.25, True),
        (JANUARY, 1, 4, 1, 0.25, True),
        (JANUARY, 2, 4, 2, 0.5, True),
    ]


def test_the_month_that_has_not_ended_has_no_rate(cohorts) -> None:
    rows = cohorts(enrolled("2026-02-10", "2026-03-02"), day=date(2026, 3, 30))
    assert figures(rows, "months_since", "completed", "rate", "is_whole") == [(0, 0, 0.0, True), (1, 1, None, False)]


@pytest.mark.parametrize(("day", "is_whole"), [(date(2024, 2, 28), False), (date(2024, 2, 29), True)])
def test_a_month_is_whole_when_its_last_day_has_ended(cohorts, day: date, is_whole: bool) -> None:
    [row] = cohorts(enrolled("2024-02-10", fetched_at=at("2024-03-01 06:00")), day=day)
    assert row["is_whole"] is is_whole


def test_each_month_in_which_enrollments_began_is_a_cohort(cohorts) -> None:
    rows = cohorts(enrolled("2026-01-10"), enrolled("2026-03-10"))
    assert figures(rows, "cohort", "months_since") == [(JANUARY, 0), (JANUARY, 1), (JANUARY, 2), (MARCH, 0)]


def test_no_row_is_beyond_24_months(cohorts) -> None:
    rows = cohorts(enrolled("2023-03-01", "2025-03-31"), enrolled("2023-03-31", "2025-04-01"))
    assert [row["months_since"] for row in rows] == list(range(25))
    assert figures(rows[-1:], "enrolled", "completed", "rate") == [(2, 1, 0.5)]


def test_the_account_is_the_sum_of_its_courses(cohorts) -> None:
    enrollments = [enrolled("2026-03-01", "2026-03-02"), enrolled("2026-03-05", course="c2")]
    assert figures(cohorts(*enrollments), "course_id", "enrolled", "completed") == [("c1", 1, 1), ("c2", 1, 0)]
    [account] = cohorts(*enrollments, scope="account")
    assert (account["course_id"], account["course_title"]) == (None, None)
    assert (account["enrolled"], account["completed"], account["rate"]) == (2, 1, 0.5)


WITHOUT_DAYS: dict[str, dict[str, Any]] = {
    "no beginning": {"enrolled_at": None},
    "no day of completion": {"status": "completed"},
    "completed before it began": {"status": "completed", "completed_at": at("2026-02-28")},
    "withdrawn since": {"status": "withdrawn", "completed_at": at("2026-02-28")},
}
NEVER_COMPLETED: dict[str, dict[str, Any]] = {
    "failed": {"status": "failed", "completed_at": at("2026-03-02")},
    "withdrawn": {"status": "withdrawn"},
    "unknown": {"status": "unknown"},
}


def test_an_enrollment_without_its_days_is_left_out(cohorts) -> None:
    """Each case is a course, beside an enrollment that counts."""
    rows = cohorts(
        *(enrolled("2026-03-01", course=case) for case in WITHOUT_DAYS),
        *(enrolled("2026-03-01", course=case) | more for case, more in WITHOUT_DAYS.items()),
    )
    assert figures(rows, "course_id", "enrolled", "completed", "left_out") == [
        (case, 1, 0, 1) for case in sorted(WITHOUT_DAYS)
    ]


def test_what_was_never_completed_stays_in_its_cohort(cohorts) -> None:
    rows = cohorts(*(enrolled("2026-03-01", course=case) | more for case, more in NEVER_COMPLETED.items()))
    assert figures(rows, "course_id", "enrolled", "completed", "left_out") == [
        (case, 1, 0, 0) for case in sorted(NEVER_COMPLETED)
    ]


def test_a_completion_that_lapsed_counts(cohorts) -> None:
    [row] = cohorts(enrolled("2026-03-01", "2026-03-02", status="expired"))
    assert row["completed"] == 1


def test_a_completion_after_the_snapshots_day_does_not_count(cohorts) -> None:
    [row] = cohorts(enrolled("2026-03-01", "2026-04-01"))
    assert (row["enrolled"], row["completed"], row["left_out"]) == (1, 0, 0)


def test_the_month_is_that_of_the_time_zone(cohorts) -> None:
    """1 March, 02:00 UTC is 28 February in New York."""
    rows = cohorts(enrolled("2026-03-01 02:00", "2026-03-01 03:00"), zone="America/New_York")
    assert figures(rows, "cohort", "months_since", "completed") == [(FEBRUARY, 0, 1), (FEBRUARY, 1, 1)]


def test_the_beginning_is_the_assignment_where_there_is_no_enrollment(cohorts) -> None:
    [row] = cohorts({"user_id": "ann", "course_id": "c1", "status": "assigned", "assigned_at": at("2026-03-05")})
    assert row["cohort"] == MARCH


def test_a_course_has_its_latest_title(cohorts) -> None:
    older = enrolled("2026-03-01", course_title="Before", fetched_at=at("2026-04-01 05:00"))
    [row] = cohorts(older, enrolled("2026-03-02", course_title="Safety"))
    assert row["course_title"] == "Safety"


def test_excluded_roles_and_later_enrollments_are_in_no_cohort(cohorts) -> None:
    [row] = cohorts(enrolled("2026-03-01"), enrolled("2026-03-01", role="Instructor"), enrolled("2026-04-01"))
    assert (row["enrolled"], row["left_out"]) == (1, 0)


def test_an_account_without_a_beginning_has_no_rows(cohorts) -> None:
    assert cohorts({"user_id": "ann", "course_id": "c1", "status": "enrolled"}, scope="account") == []
