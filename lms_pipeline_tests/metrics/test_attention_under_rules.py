"""Attention under rules for courses: due days, renewals, openings, and who is left out. All are worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.accounts.rules import Rule
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write
from lms_pipeline_tests.support.ruled_enrollments import enrollment, pick, rule


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

    def test_of_never_started_counts_from_the_later_of_beginning_and_opening(self, tmp_path: Path) -> None:
        """Each case is a course of its own."""
        cases = [
            ("2026-01-01", None, 89),
            ("2026-01-01", date(2025, 6, 1), 89),
            ("2026-01-01", date(2026, 3, 17), 14),
            ("2026-01-01", date(2026, 3, 18), None),
            ("2026-01-01", date(2026, 5, 1), None),
            ("2026-03-17", date(2026, 3, 1), 14),
            ("2026-03-18", date(2026, 3, 1), None),
            (None, date(2026, 1, 1), None),
        ]
        rows = [
            enrollment("ann", "enrolled", f"c{number}", **({} if began is None else {"enrolled_at": began}))
            for number, (began, _, _) in enumerate(cases)
        ]
        rules = {
            number: Rule(account="acme", course=f"c{number}", opens=opens)
            for number, (_, opens, _) in enumerate(cases)
            if opens is not None
        }
        file = enrollments_file(write(tmp_path / "data.parquet", rows), rules=rules)
        assert {row["course_id"]: pick(row, *self.FIGURES) for row in compute_rows(ATTENTION, file)} == {
            f"c{number}": ("ann", "never_started", days, None, None, None)
            for number, (_, _, days) in enumerate(cases)
            if days is not None
        }

    def test_has_nobody_whom_a_rule_leaves_out(self, attend: Callable[..., list[tuple[Any, ...]]]) -> None:
        rows = [
            enrollment("ann", "enrolled", enrolled_at="2026-01-01"),
            enrollment("bob", "enrolled", enrolled_at="2026-01-01", role="mentor"),
        ]
        assert attend(rows, rule(excluded_learners=("ann",), excluded_roles=("mentor",))) == []
