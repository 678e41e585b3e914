"""Checks of cohorts, curves and attention."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.checks.metrics import METRIC_CHECKS, curves_are_monotone, parts_sum, rates_are_shares
from lms_pipeline.days import Calendar
from lms_pipeline.lake.paths import Partition
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline_tests.support.lake_files import FIRST, NOON, enrollment

FEBRUARY = date(2026, 2, 1)


def cohort(months_since=0, *, enrolled=4, completed=1, whole=True, scope="course", **more):
    """Return a row of the cohort of February; the snapshot is of 1 March."""
    return {
        "scope": scope,
        "course_id": "c1" if scope == "course" else None,
        "cohort": FEBRUARY,
        "months_since": months_since,
        "enrolled": enrolled,
        "completed": completed,
        "rate": completed / enrolled if whole else None,
        "is_whole": whole,
        "left_out": 0,
        **more,
    }


def step(day, at_risk, completed=0, left=0, censored=0, shares=(1.0, 0.0, 0.0), **more):
    """Return a row of a curve; a share that is neither 0 nor 1 has a band of 0.1."""
    row = {"scope": "course", "course_id": "c1", "day": day, "at_risk": at_risk, "completed": completed, "left": left}
    for name, share in zip(("open_share", "completed_share", "left_share"), shares, strict=True):
        band = 0.1 if 0 < share < 1 else None
        row |= {name: share, f"{name}_low": band and share - band, f"{name}_high": band and share + band}
    return row | {"censored": censored, "left_out": 0, "undated_ends": 0} | more


CURVE = [step(0, 4), step(1, 4, 1, 0, 1, (0.75, 0.25, 0.0)), step(5, 2, 0, 1, 1, (0.375, 0.25, 0.375))]
SHORT_CURVE = CURVE[:2]


def find_wrong(found):
    return [(row["figure"], row["rows"]) for row in found.rows]


class TestCohorts:
    ROWS = (cohort(), cohort(1, completed=2, whole=False))

    @pytest.mark.parametrize("check", [rates_are_shares, parts_sum, curves_are_monotone])
    def test_pass_if_they_follow_from_each_other(self, files, check):
        files.put(*self.ROWS, cohort(scope="account"), table=COHORT_COMPLETION)
        assert files.run(check, COHORT_COMPLETION).passed

    @pytest.mark.parametrize(
        "wrong",
        [{"rate": 0.5}, {"rate": None}, {"rate": float("nan")}, {"completed": 5, "rate": 1.25}, {"completed": -1}],
        ids=["another", "missing", "no number", "over one", "negative"],
    )
    def test_fail_if_a_rate_is_no_share(self, files, wrong):
        files.put(cohort() | wrong, table=COHORT_COMPLETION)
        found = files.run(rates_are_shares, COHORT_COMPLETION)
        assert (found.passed, find_wrong(found)) == (False, [("rate", 1)])

    def test_fail_if_a_month_that_has_not_ended_has_a_rate(self, files):
        files.put(cohort(1, whole=False) | {"rate": 0.25}, table=COHORT_COMPLETION)
        assert not files.run(rates_are_shares, COHORT_COMPLETION).passed

    @pytest.mark.parametrize(
        "wrong",
        [cohort(2, whole=False), cohort(25, whole=False), cohort(1), cohort(0, whole=False)],
        ids=["beyond the month", "beyond 24 months", "whole too early", "whole too late"],
    )
    def test_fail_if_a_row_is_beyond_its_month(self, files, wrong):
        files.put(wrong, table=COHORT_COMPLETION)
        found = files.run(curves_are_monotone, COHORT_COMPLETION)
        assert (found.passed, find_wrong(found)) == (False, [("months_since", 1)])

    def test_fail_if_completions_fall(self, files):
        files.put(cohort(completed=2), cohort(1, completed=1, whole=False), table=COHORT_COMPLETION)
        found = files.run(curves_are_monotone, COHORT_COMPLETION)
        assert found.message == (
            "1 row does not follow from the row before it: materialize the metrics of the day again."
        )
        assert find_wrong(found) == [("completed", 1)]

    def test_fail_if_a_cohort_changes_its_size(self, files):
        files.put(cohort(), cohort(1, enrolled=5, whole=False), table=COHORT_COMPLETION)
        assert find_wrong(files.run(parts_sum, COHORT_COMPLETION)) == [("enrolled", 1)]

    @pytest.mark.parametrize(("left_out", "is_right"), [(3, True), (2, False)])
    def test_cohorts_and_what_is_left_out_sum_to_all(self, files, left_out, is_right):
        files.put(cohort(left_out=left_out), table=COHORT_COMPLETION, source_run_id="r")
        files.put({"course_id": "c1", "n_all": 7}, table=COURSE_COMPLETION, source_run_id="r")
        found = files.run(parts_sum, COHORT_COMPLETION)
        assert (found.passed, find_wrong(found)) == (is_right, [] if is_right else [("n_all", 1)])

    def test_the_account_is_compared_with_its_own_row(self, files):
        files.put(cohort(scope="account"), table=COHORT_COMPLETION, source_run_id="r")
        files.put({"n_all": 5}, table=ACCOUNT_COMPLETION, source_run_id="r")
        [fault] = files.run(parts_sum, COHORT_COMPLETION).rows
        assert fault["first"] == "account : 4 in cohorts or left out, and 5 enrollments"

    def test_another_snapshot_is_not_compared(self, files):
        files.put(cohort(), table=COHORT_COMPLETION, source_run_id="r")
        files.put({"course_id": "c1", "n_all": 7}, table=COURSE_COMPLETION, source_run_id="older")
        assert files.run(parts_sum, COHORT_COMPLETION).passed


class TestCurves:
    @pytest.mark.parametrize("check", [rates_are_shares, parts_sum, curves_are_monotone])
    def test_pass_if_they_follow_from_each_other(self, files, check):
        files.put(*CURVE, table=COMPLETION_CURVE)
        assert files.run(check, COMPLETION_CURVE).passed

    @pytest.mark.parametrize(
        ("wrong", "figure"),
        [
            ({"open_share": 1.25}, "open_share"),
            ({"completed_share": None}, "completed_share"),
            ({"left_share": -0.5}, "left_share"),
            ({"open_share": float("nan")}, "open_share"),
            ({"open_share_low": 0.8}, "open_share"),
            ({"completed_share_high": 0.2}, "completed_share"),
            ({"open_share_low": None}, "open_share"),
            ({"left_share_high": 1.0}, "left_share"),
        ],
        ids=["over one", "missing", "negative", "no number", "low", "high", "no band", "a band of 0"],
    )
    def test_fail_if_a_share_is_no_share(self, files, wrong, figure):
        files.put(CURVE[0], CURVE[1] | wrong, table=COMPLETION_CURVE)
        assert find_wrong(files.run(rates_are_shares, COMPLETION_CURVE)) == [(figure, 1)]

    @pytest.mark.parametrize(
        ("wrong", "figure"),
        [
            (step(1, 4, 1, 0, 1, (0.75, 0.25, 0.1)), "open_share"),
            (step(1, 4, 3, 1, 1, (0.75, 0.25, 0.0)), "at_risk"),
            (step(1, 5, 1, 0, 1, (0.75, 0.25, 0.0)), "at_risk"),
        ],
        ids=["shares", "more than at risk", "more at risk than before"],
    )
    def test_fail_if_parts_do_not_sum(self, files, wrong, figure):
        files.put(CURVE[0], wrong, table=COMPLETION_CURVE)
        assert find_wrong(files.run(parts_sum, COMPLETION_CURVE)) == [(figure, 1)]

    @pytest.mark.parametrize(
        ("shares", "wrong"),
        [((0.8, 0.2, 0.0), [("completed_share", 1), ("open_share", 1)]), ((0.5, 0.2, 0.3), [("completed_share", 1)])],
    )
    def test_fail_if_a_curve_turns(self, files, shares, wrong):
        files.put(*SHORT_CURVE, step(5, 2, 0, 1, 1, shares), table=COMPLETION_CURVE)
        assert find_wrong(files.run(curves_are_monotone, COMPLETION_CURVE)) == wrong

    def test_fail_if_a_curve_does_not_begin_on_the_first_day(self, files):
        files.put(*CURVE[1:], table=COMPLETION_CURVE)
        assert find_wrong(files.run(curves_are_monotone, COMPLETION_CURVE)) == [("day", 1)]

    def test_those_at_risk_and_left_out_sum_to_all(self, files):
        files.put(*CURVE, table=COMPLETION_CURVE, source_run_id="r")
        files.put({"course_id": "c1", "n_all": 5}, table=COURSE_COMPLETION, source_run_id="r")
        assert find_wrong(files.run(parts_sum, COMPLETION_CURVE)) == [("n_all", 1)]


class TestAttention:
    @pytest.mark.parametrize(
        ("account", "wrong"),
        [
            ({"n_open": 2, "n_overdue": 1}, []),
            ({"n_open": 1, "n_overdue": 1}, [("n_open", 1)]),
            ({"n_open": 2, "n_overdue": 3}, [("n_overdue", 2)]),
            ({"n_open": 2}, [("n_overdue", 1)]),
        ],
    )
    def test_as_many_are_overdue_as_in_the_account(self, files, account, wrong):
        rows = [{"reason": "overdue", "reasons": "overdue,idle"}, {"reason": "idle", "reasons": "idle"}]
        files.put(*rows, table=ATTENTION, source_run_id="r")
        files.put(account, table=ACCOUNT_COMPLETION, source_run_id="r")
        assert find_wrong(files.run(parts_sum, ATTENTION)) == wrong

    @pytest.mark.parametrize("rules", [{"rules": "new"}, {}], ids=["others", "none any more"])
    def test_of_other_rules_than_the_account_fails_for_that_reason(self, files, rules):
        files.put({"reason": "overdue", "reasons": "overdue"}, table=ATTENTION, source_run_id="r", rules="old")
        files.put({"n_open": 2, "n_overdue": 0}, table=ACCOUNT_COMPLETION, source_run_id="r", **rules)
        found = files.run(parts_sum, ATTENTION)
        assert (found.passed, found.rows) == (False, [{"table": "account_completion"}])
        assert found.message == (
            "attention and account_completion were computed with different rules: materialize all metrics of the day again."
        )

    def test_of_another_run_than_the_account_fails_with_a_possible_cause(self, files):
        files.put({"reason": "overdue", "reasons": "overdue"}, table=ATTENTION, source_run_id="r", run_id="2")
        files.put({"n_open": 2, "n_overdue": 0}, table=ACCOUNT_COMPLETION, source_run_id="r", run_id="1")
        assert files.run(parts_sum, ATTENTION).message == (
            "1 count is not the sum of its parts, and another run computed account_completion, maybe with other excluded "
            "roles: materialize the metrics of the day again."
        )

    def test_fail_if_the_reason_is_not_the_strongest(self, files):
        files.put({"reason": "idle", "reasons": "overdue,idle"}, table=ATTENTION)
        assert find_wrong(files.run(parts_sum, ATTENTION)) == [("reason", 1)]


def test_computed_tables_pass_every_check(files):
    """Of 40 learners, one in two completed, some left, some have no dates; due days are before and after."""
    statuses = ("completed", "in_progress", "completed", "withdrawn", "enrolled", "failed", "completed")
    rows = [
        enrollment(
            f"u{number}",
            f"c{number % 3}",
            status=statuses[number % 7],
            enrolled_at=None if number % 11 == 0 else NOON - timedelta(days=3 + 5 * number),
            completed_at=NOON - timedelta(days=2 + number) if statuses[number % 7] == "completed" else None,
            due_at=NOON + timedelta(days=number - 20) if number % 2 else None,
            updated_at=datetime(2026, 2, 1, tzinfo=UTC),
        )
        for number in range(40)
    ]
    files.put_pulled(*rows)
    calendar = Calendar(ZoneInfo("UTC"))
    list(publish_metrics(files.data, METRIC_TABLES, Partition("acme", FIRST), calendar, integration="x", run_id="r"))
    failed = [
        (check.name, table.name, found.message, found.rows)
        for check in METRIC_CHECKS
        for table in check.tables
        if not (found := files.run(check.run, table)).passed
    ]
    assert failed == []
