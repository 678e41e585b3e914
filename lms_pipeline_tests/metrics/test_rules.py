"""Rules for courses in the figures: due days, mandatory courses, and who is left out. All are worked by hand.

Not here: renewals (`test_renewals.py`) and who needs attention (`test_attention_under_rules.py`).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from lms_pipeline.tables.metrics import COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write
from lms_pipeline_tests.support.ruled_enrollments import DUE_PARTS, enrollment, pick, rule

if TYPE_CHECKING:
    from pathlib import Path

    from lms_pipeline_tests.support.ruled_enrollments import Compute


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

    def test_are_named_as_the_source(self, tmp_path: Path) -> None:
        file = enrollments_file(write(tmp_path / "data.parquet", self.ROWS), rules={1: rule(due_days=30)})
        [first, second] = compute_rows(COURSE_COMPLETION, file)
        assert pick(first, "course_id", "due_source") == ("c1", "rule")
        assert pick(second, "course_id", "due_source", "n_due") == ("c2", None, 0)

    def test_without_a_rule_nothing_is_due(self, compute: Compute) -> None:
        assert pick(compute(list(self.ROWS)), "n_due", "n_overdue", "on_time_rate") == (None, None, None)

    def test_of_zero_are_due_on_the_day_of_the_beginning(self, compute: Compute) -> None:
        rows = [enrollment("ann", "enrolled", enrolled_at="2026-03-31")]
        assert compute(rows, rule(due_days=0))["n_overdue"] == 1

    @pytest.mark.parametrize(
        ("zone", "due", "not_due"),
        [
            ("UTC", "2026-03-01T23:30", "2026-03-02T00:30"),
            # there 23:30 UTC is on 2 March; a date is the same day in any zone
            ("Asia/Tokyo", "2026-03-01T00:00", "2026-03-01T23:30"),
            ("America/New_York", "2026-03-02T04:30", "2026-03-02T00:00"),  # there 04:30 UTC is on 1 March
        ],
    )
    def test_begin_on_the_day_of_the_time_zone(self, tmp_path: Path, zone: str, due: str, not_due: str) -> None:
        rows = [enrollment(began, "enrolled", enrolled_at=began) for began in (due, not_due)]
        path = write(tmp_path / "data.parquet", rows)
        file = enrollments_file(path, zone=zone, rules={1: rule(due_days=30)})
        overdue = {row["user_id"]: row["n_overdue"] for row in compute_rows(LEARNER_COMPLETION, file)}
        assert overdue == {due: 1, not_due: 0}


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
