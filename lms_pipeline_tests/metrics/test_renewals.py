"""Renewals of completions by rules for courses, in the figures. All are worked by hand."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from lms_pipeline.accounts.rules import Rule
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.enrollment_files import DAY, compute_rows, enrollments_file, write
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.ruled_enrollments import DUE_PARTS, at, enrollment, pick, rule

if TYPE_CHECKING:
    from pathlib import Path

    from lms_pipeline_tests.support.ruled_enrollments import Compute


def find_due_days(path: Path, day: date, *rules: Rule, zone: str = "UTC") -> dict[str, date]:
    """Return the due day of each enrollment that is overdue, by course."""
    file = enrollments_file(path, day, zone, rules=dict(enumerate(rules, 1)))
    return {row["course_id"]: row["due_day"] for row in compute_rows(ATTENTION, file)}


class TestRenewal:
    FIGURES = ("n_completed", "n_ever_completed", "n_open", "n_overdue", "status_overdue")
    COUNTS, LAPSED = (2, 2, 0, 0, 0), (0, 2, 2, 2, 2)
    """Of two completions, before the renewal day and on it."""

    RENEWAL_DAYS = (
        ("2025-03-31", 12, "2026-03-31"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-01-28", 1, "2026-02-28"),
        ("2026-02-28", 1, "2026-03-28"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2023-08-31", 6, "2024-02-29"),
        ("2025-12-31", 1, "2026-01-31"),
    )

    @pytest.mark.parametrize(("completed_at", "months", "renewal_day"), choose(RENEWAL_DAYS[1:2], RENEWAL_DAYS))
    def test_is_due_when_its_day_has_come(
        self, compute: Compute, completed_at: str, months: int, renewal_day: str
    ) -> None:
        rows = [enrollment(status, status, completed_at=completed_at) for status in ("completed", "passed")]
        day = date.fromisoformat(renewal_day)
        before = compute(rows, rule(renew_months=months), day=str(date.fromordinal(day.toordinal() - 1)))
        on_it = compute(rows, rule(renew_months=months), day=renewal_day)
        assert (pick(before, *self.FIGURES), pick(on_it, *self.FIGURES)) == (self.COUNTS, self.LAPSED)

    def test_is_due_on_the_same_day_of_a_later_month(self, tmp_path: Path) -> None:
        """Each case is a course of its own."""
        rows = [
            enrollment("ann", "completed", f"c{number}", completed_at=completed_at)
            for number, (completed_at, _, _) in enumerate(self.RENEWAL_DAYS)
        ]
        rules = [
            Rule(account="acme", course=f"c{number}", renew_months=months)
            for number, (_, months, _) in enumerate(self.RENEWAL_DAYS)
        ]
        found = find_due_days(write(tmp_path / "data.parquet", rows), DAY, *rules)
        assert found == {f"c{number}": date.fromisoformat(day) for number, (_, _, day) in enumerate(self.RENEWAL_DAYS)}

    @pytest.mark.parametrize(
        ("zone", "lapsed", "not_yet"),
        [
            ("UTC", ("2026-01-31T23:30",), ("2026-02-01T00:30",)),
            # there 15:00 UTC is midnight, except for a date
            ("Asia/Tokyo", ("2026-01-31T14:30", "2026-01-31T00:00"), ("2026-01-31T23:30", "2026-02-01T00:00")),
            ("America/New_York", ("2026-02-01T03:00",), ("2026-02-01T05:30",)),  # there 05:00 UTC is midnight
        ],
    )
    def test_counts_days_in_the_time_zone(
        self, tmp_path: Path, zone: str, lapsed: tuple[str, ...], not_yet: tuple[str, ...]
    ) -> None:
        """On 28 February who completed on 31 January has lapsed, and who did on 1 February has not."""
        day = date(2026, 2, 28)
        rows = [enrollment("ann", "completed", completed, completed_at=completed) for completed in lapsed + not_yet]
        rules = [Rule(account="acme", course=row["course_id"], renew_months=1) for row in rows]
        path = write(tmp_path / "data.parquet", [row | {"fetched_at": at("2026-03-01T06:00")} for row in rows])
        assert find_due_days(path, day, *rules, zone=zone) == dict.fromkeys(lapsed, day)

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

    def test_other_statuses_stay(self, compute: Compute) -> None:
        statuses = ("expired", "withdrawn", "failed", "unknown")
        rows = [enrollment(one, one, enrolled_at="2024-01-01", completed_at="2024-01-10") for one in statuses]
        row = compute(rows, rule(renew_months=1))
        assert pick(row, *(f"status_{one}" for one in statuses), "n_open") == (1, 1, 1, 1, 0)

    def test_a_due_date_of_the_lms_wins_unless_the_rule_overrides_it(self, tmp_path: Path) -> None:
        rows = [
            enrollment("ann", "completed", course, completed_at="2025-03-01", due_at="2025-03-02")
            for course in ("c1", "c2")
        ]
        rules = {1: rule(renew_months=12), 2: Rule(account="acme", course="c2", renew_months=12, override=True)}
        file = enrollments_file(write(tmp_path / "data.parquet", rows), rules=rules)
        kept, replaced = compute_rows(COURSE_COMPLETION, file)
        assert pick(kept, "n_completed", "n_on_time", "due_source") == (1, 1, "lms")
        assert pick(replaced, "n_completed", "n_overdue", "due_source") == (0, 1, "rule")

    def test_before_it_the_due_date_of_the_lms_stays(self, compute: Compute) -> None:
        rows = [enrollment("ann", "completed", completed_at="2026-03-01", due_at="2026-03-02")]
        row = compute(rows, rule(renew_months=12, override=True), course="c1")
        assert pick(row, "n_completed", "n_on_time", "due_source", "n_due_by_rule") == (1, 1, "lms", 0)
