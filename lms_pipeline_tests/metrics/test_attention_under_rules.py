"""Attention under rules for courses: due days, renewals, openings, and who is left out. All are worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write
from lms_pipeline_tests.support.ruled_enrollments import enrollment, pick, rule

if TYPE_CHECKING:
    from lms_pipeline.accounts.rules import Rule


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
