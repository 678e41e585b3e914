"""Rules for courses in the figures: due days, mandatory courses, renewals, and who is left out. All are worked by hand.

The day is 2026-03-31 in UTC unless the test says otherwise, and the pull is at its end.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from lms_pipeline.accounts.rules import Rule
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Compute = Callable[..., dict[str, Any]]


def at(text: str) -> datetime:
    """Return an instant in UTC; a date is noon, since 00:00 UTC is a date without a time zone."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def enrollment(user_id: str, status: str, course_id: str = "c1", **more: Any) -> dict[str, Any]:
    moments = {name: at(text) for name, text in more.items() if name.endswith("_at")}
    return {"user_id": user_id, "status": status, "course_id": course_id, **more, **moments}


def rule(**keys: Any) -> Rule:
    where: dict[str, Any] = {} if "title" in keys else {"course": "c1"}
    return Rule(account="acme", **where, **keys)


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    """Return a function that returns the figures of the account, or of a course, of enrollments under rules."""

    def compute(
        rows: list[dict[str, Any]], *rules: Rule, course: str | None = None, day: str = "2026-03-31", **options: Any
    ) -> dict[str, Any]:
        fetched_at = datetime.fromisoformat(f"{day}T23:59:59").replace(tzinfo=UTC)
        path = write(tmp_path / "data.parquet", [{"fetched_at": fetched_at, **row} for row in rows])
        numbered = dict(enumerate(rules, 1))
        file = enrollments_file(path, date.fromisoformat(day), rules=numbered, **options)
        found = compute_rows(ACCOUNT_COMPLETION if course is None else COURSE_COMPLETION, file)
        [row] = [row for row in found if course in {None, row.get("course_id")}]
        return row

    return compute


def pick(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


DUE_PARTS = ("n_due", "n_on_time", "n_late", "n_due_undated", "n_due_open", "n_overdue")


class TestDueDays:
    ROWS = (
        enrollment("ann", "enrolled", enrolled_at="2026-03-01"),  # due on 31 March, the day
        enrollment("bob", "enrolled", enrolled_at="2026-03-02"),  # due on 1 April
        enrollment("cem", "completed", enrolled_at="2026-02-01", completed_at="2026-03-03"),  # due on 3 March
        enrollment("dee", "completed", enrolled_at="2026-02-01", completed_at="2026-03-04"),
        enrollment("eve", "in_progress", started_at="2026-01-05"),  # not known when it began
        enrollment("fay", "enrolled", assigned_at="2026-02-20"),  # due on 22 March
        enrollment("gus", "enrolled", "c2", enrolled_at="2026-01-01"),  # a course without a rule
    )

    def test_are_counted_from_the_beginning_of_the_enrollment(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(due_days=30))
        assert pick(row, *DUE_PARTS, "n_due_by_rule") == (4, 1, 1, 0, 2, 2, 4)
        assert pick(row, "overdue_rate_num", "overdue_rate_den", "on_time_rate_num", "on_time_rate_den") == (2, 3, 1, 4)

    def test_are_named_as_the_source(self, compute: Compute) -> None:
        assert compute(list(self.ROWS), rule(due_days=30), course="c1")["due_source"] == "rule"
        assert pick(compute(list(self.ROWS), rule(due_days=30), course="c2"), "due_source", "n_due") == (None, 0)

    def test_without_a_rule_nothing_is_due(self, compute: Compute) -> None:
        assert pick(compute(list(self.ROWS)), "n_due", "n_overdue", "on_time_rate") == (None, None, None)

    def test_of_zero_are_due_on_the_day_of_the_beginning(self, compute: Compute) -> None:
        rows = [enrollment("ann", "enrolled", enrolled_at="2026-03-31")]
        assert compute(rows, rule(due_days=0))["n_overdue"] == 1

    @pytest.mark.parametrize(
        ("zone", "enrolled_at", "is_due"),
        [
            ("UTC", "2026-03-01T23:30", True),
            ("Asia/Tokyo", "2026-03-01T23:30", False),  # there it is 2 March
            ("America/New_York", "2026-03-02T04:30", True),  # there it is 1 March
            ("Asia/Tokyo", "2026-03-01T00:00", True),  # a date, in any zone
            ("America/New_York", "2026-03-02T00:00", False),
        ],
    )
    def test_begin_on_the_day_of_the_time_zone(
        self, compute: Compute, zone: str, enrolled_at: str, *, is_due: bool
    ) -> None:
        rows = [enrollment("ann", "enrolled", enrolled_at=enrolled_at)]
        assert compute(rows, rule(due_days=30), zone=zone)["n_overdue"] == is_due


@pytest.mark.parametrize(("due_on", "n_due"), [(date(2026, 3, 30), 2), (date(2026, 3, 31), 2), (date(2026, 4, 1), 0)])
def test_a_fixed_due_day_is_that_of_everyone(compute: Compute, due_on: date, n_due: int) -> None:
    rows = [enrollment("ann", "enrolled", enrolled_at="2026-03-01"), enrollment("bob", "enrolled")]
    assert pick(compute(rows, rule(due_on=due_on)), "n_due", "n_due_by_rule", "n_overdue") == (n_due, n_due, n_due)


def test_whoever_is_withdrawn_by_the_due_day_of_a_rule_is_not_due(compute: Compute) -> None:
    rows = [
        enrollment("ann", "withdrawn", updated_at="2026-03-30"),
        enrollment("bob", "withdrawn", updated_at="2026-03-31"),
    ]
    row = compute(rows, rule(due_on=date(2026, 3, 30)))
    assert pick(row, "n_due", "n_due_withdrawn", "n_dropped_early") == (1, 1, 1)


class TestWhoseValue:
    ROWS = (
        enrollment("ann", "enrolled", due_at="2026-03-15", is_mandatory=False, enrolled_at="2026-01-01"),
        enrollment("bob", "enrolled", enrolled_at="2026-01-01"),
    )
    FIGURES = ("n_due", "n_due_by_rule", "due_source", "n_required", "n_required_by_rule", "mandatory_source")

    def test_the_one_of_the_lms_wins(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(due_on=date(2026, 6, 30), mandatory=True), course="c1")
        assert pick(row, *self.FIGURES) == (1, 0, "mixed", 1, 1, "mixed")

    def test_a_rule_may_override_it(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(due_on=date(2026, 6, 30), mandatory=True, override=True), course="c1")
        assert pick(row, *self.FIGURES) == (0, 0, "rule", 2, 2, "rule")

    def test_without_rules_it_is_that_of_the_lms(self, compute: Compute) -> None:
        assert pick(compute(list(self.ROWS), course="c1"), *self.FIGURES) == (1, 0, "lms", 0, 0, "lms")

    def test_an_override_without_a_day_leaves_that_of_the_lms(self, compute: Compute) -> None:
        rows = [enrollment("ann", "enrolled", due_at="2026-03-15")]
        row = compute(rows, rule(due_days=90, override=True), course="c1")
        assert pick(row, "n_due", "n_due_by_rule", "due_source") == (1, 0, "lms")

    def test_a_contradiction_leaves_both_out(self, compute: Compute) -> None:
        rules = rule(due_days=30), rule(title="*", due_days=60, mandatory=True)
        row = compute([enrollment("bob", "enrolled", enrolled_at="2026-01-01")], *rules, course="c1")
        assert pick(row, "n_due", "due_source", "n_required", "mandatory_source") == (None, None, 1, "rule")


class TestMandatory:
    ROWS = (
        enrollment("ann", "completed", completed_at="2026-03-01"),
        enrollment("bob", "in_progress"),
        enrollment("cem", "withdrawn"),
        enrollment("dee", "enrolled", "c2"),
    )

    def test_courses_are_required(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(mandatory=True))
        assert pick(row, "n_required", "n_required_by_rule", "n_mandatory_withdrawn", "compliance_rate") == (
            2,
            2,
            1,
            0.5,
        )

    def test_if_no_course_is_nothing_is_required_but_known(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(mandatory=False))
        assert pick(row, "n_required", "n_required_by_rule", "n_mandatory_withdrawn") == (0, 0, 0)
        assert (row["compliance_rate"], row["compliance_rate_den"]) == (None, 0)

    def test_without_a_rule_it_is_not_known(self, compute: Compute) -> None:
        assert pick(compute(list(self.ROWS)), "n_required", "n_required_by_rule") == (None, None)

    def test_required_and_not_due_needs_both(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(mandatory=True, due_on=date(2026, 4, 1)))
        assert row["n_required_not_due"] == 1


class TestRenewal:
    FIGURES = ("n_completed", "n_ever_completed", "n_open", "n_overdue", "status_overdue")
    COUNTS, LAPSED = (1, 1, 0, 0, 0), (0, 1, 1, 1, 1)

    @pytest.mark.parametrize(
        ("completed_at", "months", "renewal_day"),
        [
            ("2025-03-31", 12, "2026-03-31"),
            ("2026-01-31", 1, "2026-02-28"),
            ("2026-01-28", 1, "2026-02-28"),
            ("2026-02-28", 1, "2026-03-28"),
            ("2024-02-29", 12, "2025-02-28"),
            ("2023-08-31", 6, "2024-02-29"),
            ("2025-12-31", 1, "2026-01-31"),
        ],
    )
    @pytest.mark.parametrize("status", ["completed", "passed"])
    def test_is_due_on_the_same_day_of_a_later_month(
        self, compute: Compute, completed_at: str, months: int, renewal_day: str, status: str
    ) -> None:
        rows = [enrollment("ann", status, completed_at=completed_at)]
        day = date.fromisoformat(renewal_day)
        before = compute(rows, rule(renew_months=months), day=str(date.fromordinal(day.toordinal() - 1)))
        on_it = compute(rows, rule(renew_months=months), day=renewal_day)
        assert (pick(before, *self.FIGURES), pick(on_it, *self.FIGURES)) == (self.COUNTS, self.LAPSED)

    @pytest.mark.parametrize(
        ("zone", "completed_at", "renewal_day"),
        [
            ("UTC", "2026-01-31T23:30", "2026-02-28"),
            ("Asia/Tokyo", "2026-01-31T23:30", "2026-03-01"),  # there it is 1 February
            ("America/New_York", "2026-02-01T03:00", "2026-02-28"),  # there it is 31 January
            ("Asia/Tokyo", "2026-01-31T00:00", "2026-02-28"),  # a date, in any zone
        ],
    )
    def test_counts_days_in_the_time_zone(
        self, compute: Compute, zone: str, completed_at: str, renewal_day: str
    ) -> None:
        rows = [enrollment("ann", "completed", completed_at=completed_at)]
        day = date.fromisoformat(renewal_day)
        before = compute(rows, rule(renew_months=1), day=str(date.fromordinal(day.toordinal() - 1)), zone=zone)
        on_it = compute(rows, rule(renew_months=1), day=renewal_day, zone=zone)
        assert (before["n_completed"], on_it["n_completed"]) == (1, 0)

    def test_a_lapsed_completion_is_open_overdue_and_not_compliant(self, compute: Compute) -> None:
        rows = [
            enrollment("ann", "completed", completed_at="2025-03-30", progress_percent=100.0),
            enrollment("bob", "completed", completed_at="2025-04-01", progress_percent=100.0),
        ]
        row = compute(rows, rule(renew_months=12, mandatory=True), course="c1")
        assert pick(row, "n_due", "n_due_open", "n_on_time", "n_late", "n_due_by_rule") == (1, 1, 0, 0, 1)
        assert pick(row, "compliance_rate_num", "compliance_rate", "overdue_rate") == (1, 0.5, 1.0)
        assert pick(row, "n_open_started", "progress_n", "due_source", "n_ever_completed") == (1, 0, "rule", 2)

    def test_while_the_completion_counts_it_is_on_time_or_late_for_the_first_due_day(self, compute: Compute) -> None:
        rows = [
            enrollment("ann", "completed", enrolled_at="2025-10-01", completed_at="2025-10-31"),
            enrollment("bob", "completed", enrolled_at="2025-10-01", completed_at="2025-11-01"),
        ]
        row = compute(rows, rule(due_days=30, renew_months=12))
        assert pick(row, "n_due", "n_on_time", "n_late", "n_completed") == (2, 1, 1, 2)

    def test_a_completion_that_may_be_a_renewal_is_neither_on_time_nor_late(self, compute: Compute) -> None:
        rows = [
            # a year later is 1 January 2026
            enrollment("ann", "completed", enrolled_at="2025-01-01", completed_at="2025-12-31"),
            enrollment("bob", "completed", enrolled_at="2025-01-01", completed_at="2026-01-01"),
        ]
        row = compute(rows, rule(due_days=30, renew_months=12))
        assert pick(row, "n_due", "n_on_time", "n_late", "n_completed") == (1, 0, 1, 2)

    def test_a_completion_without_a_date_counts_without_an_end(self, compute: Compute) -> None:
        row = compute([enrollment("ann", "completed", enrolled_at="2020-01-01")], rule(renew_months=1))
        assert pick(row, "n_completed", "n_due") == (1, None)

    @pytest.mark.parametrize(("months", "n_overdue"), [(2, 1), (3, 0)])
    def test_an_enrollment_that_the_lms_opened_again_is_due_on_the_renewal_day(
        self, compute: Compute, months: int, n_overdue: int
    ) -> None:
        rows = [enrollment("ann", "in_progress", enrolled_at="2025-01-01", completed_at="2026-01-31")]
        row = compute(rows, rule(due_days=30, renew_months=months))
        assert pick(row, "n_open", "n_overdue", "n_due_by_rule") == (1, n_overdue, n_overdue)

    FIRST_ENROLLMENT = enrollment("ann", "completed", enrolled_at="2024-12-01", completed_at="2024-12-20")
    """On time: it is due on 31 December. It lapses on 20 December 2025 unless a later enrollment supersedes it."""

    def test_by_a_new_enrollment_keeps_the_earlier_completion_and_its_due_day(self, compute: Compute) -> None:
        renewal = enrollment("ann", "completed", enrolled_at="2025-12-01", completed_at="2025-12-30")
        row = compute([self.FIRST_ENROLLMENT, renewal], rule(due_days=30, renew_months=12))
        assert pick(row, *DUE_PARTS) == (2, 2, 0, 0, 0, 0)
        assert pick(row, "n_completed", "on_time_rate", "n_superseded", "status_overdue") == (2, 1.0, 1, 0)

    def test_by_a_new_enrollment_that_is_open_is_due_with_that_one(self, compute: Compute) -> None:
        renewal = enrollment("ann", "enrolled", enrolled_at="2026-03-01")
        row = compute([self.FIRST_ENROLLMENT, renewal], rule(due_days=30, renew_months=12, mandatory=True))
        assert pick(row, *DUE_PARTS) == (2, 1, 0, 0, 1, 1)
        assert pick(row, "n_completed", "n_required", "compliance_rate") == (1, 1, 0.0)

    def test_by_a_new_enrollment_gives_the_earlier_one_no_due_day_of_its_own(self, compute: Compute) -> None:
        renewal = enrollment("ann", "completed", enrolled_at="2025-12-01", completed_at="2025-12-30")
        row = compute([self.FIRST_ENROLLMENT, renewal], rule(renew_months=12))
        assert pick(row, *DUE_PARTS) == (0, 0, 0, 0, 0, 0)

    def test_by_an_enrollment_that_begins_on_a_later_day_lapses_until_then(self, compute: Compute) -> None:
        renewal = enrollment("ann", "enrolled", enrolled_at="2026-04-01", fetched_at="2026-04-01T13:00")
        row = compute([self.FIRST_ENROLLMENT, renewal], rule(due_days=30, renew_months=12))
        assert pick(row, "n_all", "n_completed", "n_overdue") == (1, 0, 1)

    @pytest.mark.parametrize("status", ["expired", "withdrawn", "failed", "unknown"])
    def test_other_statuses_stay(self, compute: Compute, status: str) -> None:
        rows = [enrollment("ann", status, enrolled_at="2024-01-01", completed_at="2024-01-10")]
        assert pick(compute(rows, rule(renew_months=1)), f"status_{status}", "n_open") == (1, 0)

    def test_a_due_date_of_the_lms_wins(self, compute: Compute) -> None:
        rows = [enrollment("ann", "completed", completed_at="2025-03-01", due_at="2025-03-02")]
        kept = compute(rows, rule(renew_months=12), course="c1")
        replaced = compute(rows, rule(renew_months=12, override=True), course="c1")
        assert pick(kept, "n_completed", "n_on_time", "due_source") == (1, 1, "lms")
        assert pick(replaced, "n_completed", "n_overdue", "due_source") == (0, 1, "rule")

    def test_before_it_the_due_date_of_the_lms_stays(self, compute: Compute) -> None:
        rows = [enrollment("ann", "completed", completed_at="2026-03-01", due_at="2026-03-02")]
        row = compute(rows, rule(renew_months=12, override=True), course="c1")
        assert pick(row, "n_completed", "n_on_time", "due_source", "n_due_by_rule") == (1, 1, "lms", 0)


class TestLeftOut:
    ROWS = (
        enrollment("ann", "completed", role="learner"),
        enrollment("bob", "enrolled", role="Mentor"),
        enrollment("cem", "enrolled", role="instructor"),
        enrollment("bob", "enrolled", "c2", role="mentor"),
        enrollment("dee", "enrolled"),
    )

    def test_roles_of_a_rule_in_its_courses_beside_those_of_the_account(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(excluded_roles=(" MENTOR",)))
        # bob in c1 and cem; bob in c2 counts
        assert pick(row, "n_all", "left_out_by_role", "rows_unfamiliar_role") == (3, 2, 1)

    def test_learners_of_a_rule_in_its_courses(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(excluded_learners=("bob", "ann", "nobody")))
        assert pick(row, "n_all", "n_completed", "learners", "left_out_by_role") == (2, 0, 2, 1)
        assert row["left_out_by_rule"] == 2

    def test_a_learner_with_an_excluded_role_is_left_out_once(self, compute: Compute) -> None:
        row = compute(list(self.ROWS), rule(excluded_learners=("cem",)))
        assert pick(row, "n_all", "left_out_by_role", "left_out_by_rule") == (4, 1, 0)

    def test_a_learner_who_is_left_out_supersedes_nothing(self, compute: Compute) -> None:
        rows = [
            enrollment("ann", "completed", enrolled_at="2026-01-01", role="learner"),
            enrollment("ann", "enrolled", enrolled_at="2026-02-01", role="mentor"),
        ]
        assert pick(compute(rows, rule(excluded_roles=("mentor",))), "n_all", "n_superseded") == (1, 0)

    def test_a_title_may_choose_the_course_of_which_everyone_is_left_out(self, compute: Compute) -> None:
        rows = [
            enrollment("ann", "enrolled", "c1", course_title="Test course"),
            enrollment("ann", "enrolled", "c2", course_title="Fire safety"),
        ]
        row = compute(rows, rule(title="test*", excluded_learners=("ann",)))
        assert pick(row, "n_all", "left_out_by_rule") == (1, 1)


def test_the_latest_title_of_a_course_decides(compute: Compute) -> None:
    rows = [
        enrollment("ann", "enrolled", course_title="Fire safety", fetched_at="2026-03-31T10:00"),
        enrollment("bob", "enrolled", course_title="Water", fetched_at="2026-03-31T09:00"),
        enrollment("cem", "enrolled", fetched_at="2026-03-31T11:00"),
    ]
    assert compute(rows, rule(title="fire*", mandatory=True))["n_required"] == 3
    assert compute(rows, rule(title="water", mandatory=True))["n_required"] is None


def test_rules_that_match_nothing_change_nothing(compute: Compute) -> None:
    rows = [enrollment("ann", "enrolled", due_at="2026-03-01")]
    assert compute(rows, rule(title="No such course", due_days=1)) == compute(rows)


class TestAttention:
    """Each row: the reasons, the days of the strongest, the due day, and whose the due day and the mandatory flag are."""

    FIGURES = ("user_id", "reasons", "days", "due_day", "due_source", "mandatory_source")

    @pytest.fixture
    def attend(self, tmp_path: Path) -> Callable[..., list[tuple[Any, ...]]]:
        def attend(rows: list[dict[str, Any]], *rules: Rule) -> list[tuple[Any, ...]]:
            path = write(tmp_path / "data.parquet", rows)
            file = enrollments_file(path, rules=dict(enumerate(rules, 1)))
            return [pick(row, *self.FIGURES) for row in compute_rows(ATTENTION, file)]

        return attend

    def test_of_a_renewal_counts_from_the_renewal_day(self, attend: Callable[..., list[tuple[Any, ...]]]) -> None:
        rows = [
            enrollment("ann", "completed", completed_at="2025-03-28", progress_percent=100.0),  # renewal on 28 March
            enrollment("bob", "completed", completed_at="2025-04-01", progress_percent=100.0),
        ]
        found = attend(rows, rule(renew_months=12, mandatory=True))
        assert found == [("ann", "overdue", 3, date(2026, 3, 28), "rule", "rule")]

    def test_names_whose_due_day_it_is(self, attend: Callable[..., list[tuple[Any, ...]]]) -> None:
        rows = [
            enrollment("ann", "in_progress", due_at="2026-03-30", is_mandatory=False, last_activity_at="2026-03-31"),
            enrollment("bob", "in_progress", last_activity_at="2026-03-31"),
        ]
        assert attend(rows, rule(due_on=date(2026, 4, 7), mandatory=True)) == [
            ("ann", "overdue", 1, date(2026, 3, 30), "lms", "lms"),
            ("bob", "due_soon", 7, date(2026, 4, 7), "rule", "rule"),
        ]

    @pytest.mark.parametrize(
        ("enrolled_at", "opens", "days"),
        [
            ("2026-01-01", None, 89),
            ("2026-01-01", date(2025, 6, 1), 89),
            ("2026-01-01", date(2026, 3, 17), 14),
            ("2026-01-01", date(2026, 3, 18), None),
            ("2026-01-01", date(2026, 5, 1), None),
            ("2026-03-17", date(2026, 3, 1), 14),
            ("2026-03-18", date(2026, 3, 1), None),
            (None, date(2026, 1, 1), None),
        ],
    )
    def test_of_never_started_counts_from_the_later_of_beginning_and_opening(
        self,
        attend: Callable[..., list[tuple[Any, ...]]],
        enrolled_at: str | None,
        opens: date | None,
        days: int | None,
    ) -> None:
        began = {} if enrolled_at is None else {"enrolled_at": enrolled_at}
        rules = [] if opens is None else [rule(opens=opens)]
        found = attend([enrollment("ann", "enrolled", **began)], *rules)
        assert found == ([] if days is None else [("ann", "never_started", days, None, None, None)])

    def test_has_nobody_whom_a_rule_leaves_out(self, attend: Callable[..., list[tuple[Any, ...]]]) -> None:
        rows = [
            enrollment("ann", "enrolled", enrolled_at="2026-01-01"),
            enrollment("bob", "enrolled", enrolled_at="2026-01-01", role="mentor"),
        ]
        assert attend(rows, rule(excluded_learners=("ann",), excluded_roles=("mentor",))) == []
