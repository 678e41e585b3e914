"""Attention: the open enrollments that need attention, and why.

The snapshot is of 2026-03-31.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.metrics.completion import open_completion
from lms_pipeline.metrics.earlier import EarlierSnapshot
from lms_pipeline.tables.attention import ATTENTION, REASONS
from lms_pipeline_tests.support.enrollment_files import DAY, compute_rows, enrollments_file, write

Rows = list[dict[str, Any]]
EARLIER = date(2026, 3, 17)


def ago(days: int) -> datetime:
    """Return noon, so many days before the snapshot's."""
    return datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC) - timedelta(days=days)


def ahead(days: int) -> datetime:
    return ago(-days)


def going(**more: Any) -> dict[str, Any]:
    """Return an enrollment that began 10 days ago and was active today: it needs nobody."""
    row = {"user_id": "ann", "course_id": "c1", "status": "in_progress", "enrolled_at": ago(10)}
    return row | {"last_activity_at": ago(0), "progress_percent": 50.0} | more


def quiet(**more: Any) -> dict[str, Any]:
    """Return an enrollment that began 60 days ago, whose activity is not known."""
    return going(enrolled_at=ago(60), last_activity_at=None) | more


@pytest.fixture
def attention(tmp_path: Path) -> Callable[..., Rows]:
    def compute(*rows: dict[str, Any], earlier: Rows | None = None, day: date = EARLIER, zone: str = "UTC") -> Rows:
        compared = None
        if earlier is not None:
            compared = EarlierSnapshot(write(tmp_path / "earlier.parquet", earlier), day)
        path = write(tmp_path / "data.parquet", rows)
        return compute_rows(ATTENTION, enrollments_file(path, DAY, zone, earlier=compared))

    return compute


def reasons(rows: Rows) -> list[tuple[str, int | None]]:
    return [(row["reasons"], row["days"]) for row in rows]


LIMITS: list[tuple[dict[str, Any], list[tuple[str, int | None]]]] = [
    ({}, []),
    # overdue: the due day has ended, or the LMS says so
    ({"due_at": ago(0)}, [("overdue", 0)]),
    ({"due_at": ago(5)}, [("overdue", 5)]),
    ({"status": "overdue"}, [("overdue", None)]),
    ({"status": "overdue", "due_at": ahead(30)}, [("overdue", None)]),
    # due soon: within 7 days and behind an even pace; it began 10 days ago
    ({"due_at": ahead(1), "progress_percent": 90.0}, [("due_soon", 1)]),
    ({"due_at": ahead(7), "progress_percent": 58.0}, [("due_soon", 7)]),
    ({"due_at": ahead(7), "progress_percent": 59.0}, []),
    ({"due_at": ahead(8), "progress_percent": 0.0}, []),
    ({"due_at": ahead(7), "progress_percent": None}, [("due_soon", 7)]),
    ({"due_at": ahead(2), "progress_percent": 100.0}, [("stuck", 0)]),
    ({"due_at": ahead(2), "progress_percent": 0.0, "enrolled_at": ago(0)}, []),
    ({"due_at": ahead(2), "enrolled_at": None}, [("due_soon", 2)]),
    ({"due_at": ahead(2), "status": "overdue", "progress_percent": 0.0}, [("overdue,due_soon", None)]),
    # stuck: 100 percent is not completed
    ({"progress_percent": 100.0, "last_activity_at": ago(3)}, [("stuck", 3)]),
    ({"progress_percent": 99.9}, []),
    # idle: started, and no sign of life for 14 days
    ({"last_activity_at": ago(13)}, []),
    ({"last_activity_at": ago(14)}, [("idle", 14)]),
    ({"last_activity_at": ago(20), "progress_percent": 100.0}, [("stuck,idle", 20)]),
    ({"last_activity_at": ago(20), "status": "enrolled", "progress_percent": 0.0}, []),
    # never started
    ({"status": "enrolled", "progress_percent": None, "enrolled_at": ago(14)}, [("never_started", 14)]),
    ({"status": "enrolled", "progress_percent": None, "enrolled_at": ago(13)}, []),
    ({"status": "enrolled", "progress_percent": None, "enrolled_at": None}, []),
    ({"status": "assigned", "progress_percent": 1.0, "enrolled_at": ago(30)}, []),
    (
        {"status": "assigned", "progress_percent": 0.0, "enrolled_at": ago(30), "due_at": ago(2)},
        [("overdue,never_started", 2)],
    ),
]  # fmt: skip
"""What is special about an enrollment, and its reasons with the days of the strongest."""


def reasons_by_learner(rows: Rows) -> dict[str, list[tuple[str, int | None]]]:
    found: dict[str, list[tuple[str, int | None]]] = {}
    for row in rows:
        found.setdefault(row["user_id"], []).append((row["reasons"], row["days"]))
    return found


def test_each_reason_has_its_limits(attention) -> None:
    rows = attention(*(going(user_id=str(more), **more) for more, _ in LIMITS))
    assert reasons_by_learner(rows) == {str(more): found for more, found in LIMITS if found}


def test_only_open_enrollments_need_someone(attention) -> None:
    statuses = ("completed", "passed", "failed", "withdrawn", "expired", "unknown", "in_progress")
    rows = attention(*(going(user_id=one, status=one, due_at=ago(5), last_activity_at=ago(40)) for one in statuses))
    assert [row["user_id"] for row in rows] == ["in_progress"]


def test_an_enrollment_with_a_later_one_needs_nobody(attention) -> None:
    older = going(enrollment_id="e1", enrolled_at=ago(40), due_at=ago(5))
    rows = attention(older, going(enrollment_id="e2", enrolled_at=ago(20), due_at=ago(1)))
    assert [row["enrollment_id"] for row in rows] == ["e2"]


def test_excluded_roles_and_later_enrollments_need_nobody(attention) -> None:
    later = datetime(2026, 4, 1, 5, tzinfo=UTC)
    assert attention(going(role="Instructor", due_at=ago(5)), going(enrolled_at=later, due_at=ago(5))) == []


def test_the_reasons_are_in_the_order_of_their_strength(attention) -> None:
    [row] = attention(going(due_at=ago(1), progress_percent=100.0, last_activity_at=ago(30)))
    assert row["reason"] == "overdue"
    assert row["reasons"].split(",") == [one for one in REASONS if one in {"overdue", "stuck", "idle"}]


def test_a_row_has_what_one_needs_to_call(attention) -> None:
    [row] = attention(
        going(
            enrollment_id="e1", user_name="Ann", course_title="Safety", due_at=ago(1), is_mandatory=True,
            last_activity_at=ago(2),
        )
    )  # fmt: skip
    assert row == {
        "enrollment_id": "e1",
        "user_id": "ann",
        "user_name": "Ann",
        "course_id": "c1",
        "course_title": "Safety",
        "reason": "overdue",
        "reasons": "overdue",
        "days": 1,
        "status": "in_progress",
        "progress_percent": 50.0,
        "began_day": date(2026, 3, 21),
        "due_day": date(2026, 3, 30),
        "last_seen_day": date(2026, 3, 29),
        "is_mandatory": True,
        "due_source": "lms",
        "mandatory_source": "lms",
    }


def test_what_is_not_known_is_null(attention) -> None:
    [row] = attention({"user_id": "ann", "course_id": "c1", "status": "overdue"})
    names = ("began_day", "due_day", "last_seen_day", "is_mandatory", "due_source", "mandatory_source", "enrollment_id")
    assert {name: row[name] for name in names} == dict.fromkeys(names)


def test_not_mandatory_is_not_unknown(attention) -> None:
    [row] = attention(going(due_at=ago(1), is_mandatory=False))
    assert (row["is_mandatory"], row["mandatory_source"]) == (False, "lms")


def test_days_are_those_of_the_time_zone(attention) -> None:
    """17 March, 02:00 UTC is 16 March in New York."""
    more = {"last_activity_at": datetime(2026, 3, 17, 2, tzinfo=UTC)}
    assert reasons(attention(going(**more), zone="America/New_York")) == [("idle", 15)]
    assert reasons(attention(going(**more))) == [("idle", 14)]


def test_activity_after_the_snapshots_day_does_not_count(attention) -> None:
    assert attention(going(last_activity_at=datetime(2026, 4, 1, 5, tzinfo=UTC))) == []


def test_activity_after_the_snapshots_day_is_not_idleness(attention) -> None:
    """Which of the 14 days before were quiet, it hides."""
    assert attention(quiet(last_activity_at=datetime(2026, 4, 1, 5, tzinfo=UTC)), earlier=[quiet()]) == []


def test_who_completed_after_the_snapshots_day_is_not_stuck(attention) -> None:
    after = datetime(2026, 4, 1, 5, tzinfo=UTC)
    row = going(status="completed", completed_at=after, last_activity_at=after, progress_percent=100.0)
    assert attention(row) == []


RISES: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, int | None]]]] = [
    ({}, {}, [("idle", 14)]),
    ({"progress_percent": 60.0}, {}, []),
    ({"time_spent_seconds": 90}, {"time_spent_seconds": 60}, []),
    ({"time_spent_seconds": 60}, {"time_spent_seconds": 60}, [("idle", 14)]),
    ({"progress_percent": 40.0}, {}, [("idle", 14)]),
    ({"progress_percent": None, "time_spent_seconds": 60}, {"time_spent_seconds": 60}, [("idle", 14)]),
    ({"progress_percent": None}, {}, []),
    ({}, {"progress_percent": None}, []),
    ({"last_activity_at": ago(2)}, {}, []),
    ({"enrollment_id": "e2"}, {"enrollment_id": "e1"}, []),
    ({"enrollment_id": "e1"}, {"enrollment_id": None}, [("idle", 14)]),
    ({}, {"course_id": "c2"}, []),
    ({"status": "enrolled", "progress_percent": 0.0}, {"progress_percent": 0.0}, [("never_started", 60)]),
]
"""What is special about an enrollment now and before, and its reasons with the days of the strongest."""


def test_without_an_activity_it_is_idle_if_nothing_rose(attention) -> None:
    learners = [f"{number}: {now}, {before}" for number, (now, before, _) in enumerate(RISES)]
    earlier = [quiet(user_id=learner, **before) for learner, (_, before, _) in zip(learners, RISES, strict=True)]
    rows = attention(
        *(quiet(user_id=learner, **now) for learner, (now, _, _) in zip(learners, RISES, strict=True)), earlier=earlier
    )
    assert reasons_by_learner(rows) == {
        learner: found for learner, (_, _, found) in zip(learners, RISES, strict=True) if found
    }


def test_the_days_without_a_rise_are_those_since_the_earlier_snapshot(attention) -> None:
    [row] = attention(quiet(), earlier=[quiet()], day=date(2026, 3, 1))
    assert (row["reasons"], row["days"], row["last_seen_day"]) == ("idle", 30, None)


def test_without_an_earlier_snapshot_nobody_is_idle(attention) -> None:
    assert attention(quiet()) == []


def test_the_enrollments_of_unknown_idleness_are_counted(tmp_path: Path) -> None:
    earlier = EarlierSnapshot(write(tmp_path / "earlier.parquet", [quiet(user_id="same")]), EARLIER)
    rows = [
        quiet(user_id="same"),
        quiet(user_id="new"),
        going(user_id="active"),
        quiet(user_id="done", status="passed"),
    ]
    with open_completion(enrollments_file(write(tmp_path / "data.parquet", rows), earlier=earlier)) as read_rows:
        assert read_rows.describe(ATTENTION) == {"idle_unknown": "1", "compared_with": "2026-03-17"}


@pytest.mark.parametrize("reason", [{"due_at": ago(2)}, {"progress_percent": 100.0}, {"status": "overdue"}])
def test_an_enrollment_with_another_reason_is_not_counted_as_of_unknown_idleness(tmp_path: Path, reason) -> None:
    rows = [quiet(user_id="listed", **reason), quiet(user_id="not listed")]
    with open_completion(enrollments_file(write(tmp_path / "data.parquet", rows))) as read_rows:
        assert read_rows.describe(ATTENTION) == {"idle_unknown": "1"}
        assert read_rows(ATTENTION).read_all()["user_id"].to_pylist() == ["listed"]


def test_without_an_earlier_snapshot_there_is_no_day_of_it(tmp_path: Path) -> None:
    with open_completion(enrollments_file(write(tmp_path / "data.parquet", [quiet()]))) as read_rows:
        assert read_rows.describe(ATTENTION) == {"idle_unknown": "1"}


def test_rows_are_ordered_by_learner_and_course(attention) -> None:
    people = [("bob", "c1"), ("ann", "c2"), ("ann", "c1")]
    rows = attention(*(going(user_id=user, course_id=course, due_at=ago(1)) for user, course in people))
    assert [(row["user_id"], row["course_id"]) for row in rows] == sorted(people)
