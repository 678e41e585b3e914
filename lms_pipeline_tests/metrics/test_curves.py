"""Completion curves: when enrollments end, and the shares that were completed, left and open by each day.

The snapshot is of 2026-03-31. `day=3` means 3 days after the enrollment began.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.tables.over_time import COMPLETION_CURVE
from lms_pipeline_tests.support.enrollment_files import DAY, compute_rows, enrollments_file, write

Rows = list[dict[str, Any]]
COUNTS = ("day", "at_risk", "completed", "left", "censored")
SHARES = ("open_share", "completed_share", "left_share")
BEGAN = datetime(2026, 3, 1, 9, tzinfo=UTC)
SNAPSHOT = datetime(2026, 3, 31, 9, tzinfo=UTC)


def after(days: int) -> datetime:
    return BEGAN + timedelta(days=days)


def enrolled(status: str, *, began: datetime | None = BEGAN, **more: Any) -> dict[str, Any]:
    return {"user_id": "ann", "course_id": "c1", "status": status, "enrolled_at": began} | more


def completed(days: int, **more: Any) -> dict[str, Any]:
    return enrolled("completed", completed_at=after(days), **more)


def left(days: int, **more: Any) -> dict[str, Any]:
    return enrolled("withdrawn", updated_at=after(days), **more)


def observed(days: int, **more: Any) -> dict[str, Any]:
    """Return an open enrollment that began so many days before the snapshot's."""
    return enrolled("in_progress", began=SNAPSHOT - timedelta(days=days), **more)


@pytest.fixture
def curve(tmp_path: Path) -> Callable[..., Rows]:
    def compute(*rows: dict[str, Any], scope: str = "course", zone: str = "UTC") -> Rows:
        path = write(tmp_path / "data.parquet", rows)
        return [
            row for row in compute_rows(COMPLETION_CURVE, enrollments_file(path, DAY, zone)) if row["scope"] == scope
        ]

    return compute


def figures(rows: Rows, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_shares_are_products_and_sums_over_those_at_risk(curve) -> None:
    """Of 4, one completes on day 0; on day 2, one of 3 completes and one leaves; the last is open on day 5."""
    rows = curve(completed(0), completed(2), left(2), observed(5))
    assert figures(rows, *COUNTS) == [(0, 4, 1, 0, 0), (2, 3, 1, 1, 0), (5, 1, 0, 0, 1)]
    assert figures(rows, *SHARES) == [
        (3 / 4, 1 / 4, 0),
        (pytest.approx(3 / 4 * 1 / 3), pytest.approx(1 / 4 + 3 / 4 / 3), pytest.approx(3 / 4 / 3)),
        (pytest.approx(1 / 4), pytest.approx(1 / 2), pytest.approx(1 / 4)),
    ]


def test_the_band_is_that_of_the_log_minus_log(curve) -> None:
    """Of 4, one completes on day 0: V = 0.75^2 * 1 / (4 * 3) = 0.046875, for the open and the completed share."""
    [first, _] = curve(completed(0), observed(5), observed(5), observed(5))
    assert first["open_share"] == 0.75
    assert first["open_share_low"] == pytest.approx(0.127947, abs=5e-7)
    assert first["open_share_high"] == pytest.approx(0.960549, abs=5e-7)
    # ln(-ln 0.25) = 0.326634, and 1.959964 * 0.216506 / (0.25 * 1.386294) = 1.224408
    assert first["completed_share_low"] == pytest.approx(0.008948, abs=5e-7)
    assert first["completed_share_high"] == pytest.approx(0.665325, abs=5e-7)


def test_a_share_of_0_or_1_has_no_band(curve) -> None:
    first, last = curve(completed(0), completed(2))
    for row in (first, last):
        assert (row["left_share"], row["left_share_low"], row["left_share_high"]) == (0, None, None)
    assert figures([last], *SHARES) == [(0, 1, 0)]
    assert (last["open_share_low"], last["completed_share_high"]) == (None, None)


def test_everybody_leaving_is_no_completion(curve) -> None:
    rows = curve(left(1), left(3), left(3))
    assert figures(rows, *SHARES) == [(1, 0, 0), (pytest.approx(2 / 3), 0, pytest.approx(1 / 3)), (0, 0, 1)]


def test_leaving_is_not_censoring(curve) -> None:
    """Of 4 who have all ended, 2 completed: the curve ends at 1/2, not at 1."""
    [*_, last] = curve(left(1), left(2), completed(3), completed(4))
    assert last["completed_share"] == pytest.approx(1 / 2)


def test_those_observed_to_a_day_are_at_risk_on_it(curve) -> None:
    rows = curve(observed(3), completed(3))
    assert figures(rows, *COUNTS) == [(0, 2, 0, 0, 0), (3, 2, 1, 0, 1)]
    assert rows[-1]["completed_share"] == 0.5


def test_rows_are_day_0_the_days_with_an_end_and_the_last_day(curve) -> None:
    rows = curve(observed(2), observed(4), completed(5), observed(9))
    assert figures(rows, *COUNTS) == [(0, 4, 0, 0, 0), (5, 2, 1, 0, 0), (9, 1, 0, 0, 1)]


def test_one_learner_on_the_first_day_is_one_row(curve) -> None:
    assert figures(curve(observed(0)), *COUNTS, *SHARES) == [(0, 1, 0, 0, 1, 1, 0, 0)]


def test_nobody_has_no_rows(curve) -> None:
    assert curve() == curve(scope="account") == []
    assert curve(enrolled("enrolled", began=None)) == []


LEAVING: dict[str, tuple[dict[str, Any], int]] = {
    "failed": (
        {"status": "failed", "completed_at": after(2), "last_activity_at": after(4), "updated_at": after(6)}, 2
    ),
    "active": ({"status": "withdrawn", "last_activity_at": after(4), "updated_at": after(6)}, 4),
    "timed out": ({"status": "expired", "last_activity_at": after(4), "updated_at": after(6)}, 4),
    "updated": ({"status": "withdrawn", "updated_at": after(6)}, 6),
    "before it began": ({"status": "withdrawn", "updated_at": BEGAN - timedelta(days=2)}, 0),
    "failed before it began": ({"status": "failed", "completed_at": BEGAN - timedelta(days=2)}, 0),
    "active after the day": (
        {"status": "withdrawn", "last_activity_at": SNAPSHOT + timedelta(hours=20), "updated_at": after(6)}, 6
    ),
}  # fmt: skip
"""What is special about an enrollment that ended, and the day on which it left."""


def last_of_courses(rows: Rows) -> dict[str, dict[str, Any]]:
    """Return the last row of each course."""
    return {row["course_id"]: row for row in rows}


def test_the_day_of_leaving(curve) -> None:
    rows = curve(*(enrolled("", course_id=case) | more for case, (more, _) in LEAVING.items()))
    assert {
        case: (row["day"], row["left"], row["undated_ends"], row["left_out"])
        for case, row in last_of_courses(rows).items()
    } == {case: (day, 1, 0, 0) for case, (_, day) in LEAVING.items()}


@pytest.mark.parametrize("more", [{}, {"updated_at": SNAPSHOT + timedelta(hours=20)}], ids=["no date", "after the day"])
def test_who_left_on_an_unknown_day_leaves_on_the_snapshots(curve, more: dict[str, Any]) -> None:
    rows = curve(enrolled("withdrawn") | more, completed(2))
    assert figures(rows, "day", "left", "undated_ends") == [(0, 0, 1), (2, 0, 1), (30, 1, 1)]


def test_a_completion_that_no_longer_stands_is_a_completion(curve) -> None:
    statuses = ("expired", "withdrawn")
    rows = curve(*(enrolled(one, course_id=one, completed_at=after(3), updated_at=after(5)) for one in statuses))
    last = last_of_courses(rows).values()
    assert figures([*last], "course_id", "day", "completed", "left") == [(one, 3, 1, 0) for one in statuses]


def test_who_has_not_ended_is_observed_to_the_snapshots_day(curve) -> None:
    statuses = ("enrolled", "in_progress", "overdue", "unknown")
    last = last_of_courses(curve(*(enrolled(one, course_id=one, updated_at=after(2)) for one in statuses))).values()
    assert figures([*last], "course_id", *COUNTS) == [(one, 30, 1, 0, 0, 1) for one in statuses]


def test_enrollments_without_their_days_are_left_out(curve) -> None:
    rows = curve(
        completed(1), enrolled("completed"), completed(-1), enrolled("enrolled", began=None),
        enrolled("completed", began=None, completed_at=after(2)),
    )  # fmt: skip
    assert figures(rows, "at_risk", "left_out") == [(1, 4), (1, 4)]


def test_the_account_is_computed_from_the_sums_of_its_courses(curve) -> None:
    rows = curve(completed(1), left(2, course_id="c2"), enrolled("completed", course_id="c2"), scope="account")
    assert figures(rows, *COUNTS) == [(0, 2, 0, 0, 0), (1, 2, 1, 0, 0), (2, 1, 0, 1, 0)]
    assert figures(rows, "course_id", "left_out") == [(None, 1)] * 3


def test_days_are_those_of_the_time_zone(curve) -> None:
    """In New York both are on the day before in UTC: 1 March, 02:00 UTC, and 3 March, 04:30 UTC."""
    began, ended = datetime(2026, 3, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, 4, 30, tzinfo=UTC)
    [*_, last] = curve(enrolled("withdrawn", began=began, last_activity_at=ended), zone="America/New_York")
    assert last["day"] == 3
    [*_, last] = curve(enrolled("withdrawn", began=began, last_activity_at=ended), zone="Asia/Tokyo")
    assert last["day"] == 3
    [*_, last] = curve(
        enrolled("withdrawn", began=began, last_activity_at=ended + timedelta(hours=2)), zone="America/New_York"
    )
    assert last["day"] == 4
