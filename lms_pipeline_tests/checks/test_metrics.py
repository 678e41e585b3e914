"""Checks of the completion tables."""

import pytest

from lms_pipeline.checks.metrics import parts_sum, rates_are_shares
from lms_pipeline.lake import files as lake_files
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION

COUNTS = [
    *("n_open", "n_open_started", "n_not_started", "n_completed", "n_eligible"),
    *("status_assigned", "status_in_progress", "status_passed", "status_failed", "status_withdrawn"),
    *("status_expired", "status_overdue", "status_unknown", "status_completed"),
]


def rate(numerator, denominator, value=None, name="completion_rate"):
    value = numerator / denominator if value is None else value
    return {name: value, f"{name}_num": numerator, f"{name}_den": denominator}


def row(n_all=3, **more):
    """Counts of enrollments, all of them not started."""
    counts = dict.fromkeys(COUNTS, 0)
    return {**counts, "n_all": n_all, "n_open": n_all, "n_not_started": n_all, "status_enrolled": n_all, **more}


class TestRates:
    def test_pass_if_each_is_its_share(self, files):
        files.put(rate(1, 3), rate(0, 5), rate(5, 5), {}, table=ACCOUNT_COMPLETION)
        found = files.run(rates_are_shares, ACCOUNT_COMPLETION)
        assert (found.passed, found.message) == (True, "All 12 rates are shares.")

    @pytest.mark.parametrize(
        "wrong",
        [
            rate(1, 3, 0.5),
            rate(4, 3),
            rate(-1, 3),
            rate(1, 3, float("nan")),
            rate(0, 0, 0.0),
            {"completion_rate_num": 1, "completion_rate_den": 3},
            {"completion_rate": 0.5},
        ],
        ids=["another", "over one", "negative", "no number", "of nobody", "missing", "of nothing"],
    )
    def test_fail_if_one_is_not(self, files, wrong):
        files.put(rate(1, 3), wrong, table=LEARNER_COMPLETION)
        found = files.run(rates_are_shares, LEARNER_COMPLETION)
        assert (found.passed, found.figures) == (False, {"wrong": 1})
        assert [one["figure"] for one in found.rows] == ["completion_rate"]

    def test_count_the_rows_of_all_row_groups_and_show_the_first(self, files, monkeypatch):
        monkeypatch.setattr(lake_files, "ROWS_PER_GROUP", 2)
        files.put(rate(1, 3), rate(1, 2), rate(4, 4, 0.5), rate(1, 4), rate(3, 3, 0.25), table=LEARNER_COMPLETION)
        found = files.run(rates_are_shares, LEARNER_COMPLETION)
        first = "completion_rate 0.5, completion_rate_num 4, completion_rate_den 4"
        assert found.rows == [{"figure": "completion_rate", "rows": 2, "first": first}]

    def test_pass_if_nothing_shows_an_assessment(self, files):
        files.put({"pass_rate_num": 2, "pass_rate_den": 2}, table=ACCOUNT_COMPLETION)
        assert files.run(rates_are_shares, ACCOUNT_COMPLETION).passed


class TestParts:
    def test_pass_if_all_sum(self, files):
        due = {"n_due": 2, "n_on_time": 1, "n_late": 1}
        others = ("undated", "open", "failed", "withdrawn", "expired", "unknown")
        files.put(row(), row(**due, **{f"n_due_{name}": 0 for name in others}), table=COURSE_COMPLETION)
        assert files.run(parts_sum, COURSE_COMPLETION).passed

    @pytest.mark.parametrize(("wrong", "figure"), [({"status_enrolled": 2}, "n_all"), ({"n_not_started": 1}, "n_open")])
    def test_fail_if_one_does_not(self, files, wrong, figure):
        files.put(row(), row(**wrong), table=COURSE_COMPLETION)
        found = files.run(parts_sum, COURSE_COMPLETION)
        assert not found.passed
        assert [(one["figure"], one["rows"]) for one in found.rows] == [(figure, 1)]

    def test_ignore_counts_that_are_not_known(self, files):
        files.put(row(n_due=None, n_on_time=1), table=COURSE_COMPLETION)
        assert files.run(parts_sum, COURSE_COMPLETION).passed

    def test_pass_if_courses_and_learners_sum_to_the_account(self, files):
        files.put(row(5), table=ACCOUNT_COMPLETION, source_run_id="r")
        files.put(row(2), row(3), table=COURSE_COMPLETION, source_run_id="r")
        files.put(row(4), row(1), table=LEARNER_COMPLETION, source_run_id="r")
        assert files.run(parts_sum, ACCOUNT_COMPLETION).passed

    def test_fail_if_courses_do_not_sum_to_the_account(self, files):
        files.put(row(5), table=ACCOUNT_COMPLETION, source_run_id="r")
        files.put(row(2), row(2), table=COURSE_COMPLETION, source_run_id="r")
        found = files.run(parts_sum, ACCOUNT_COMPLETION)
        assert found.rows == [{"figure": "n_all", "rows": 1, "first": "5, and 4 in course_completion"}]

    def test_ignore_tables_of_other_pulls(self, files):
        files.put(row(5), table=ACCOUNT_COMPLETION, source_run_id="r")
        files.put(row(2), table=COURSE_COMPLETION, source_run_id="older", rules="other")
        assert files.run(parts_sum, ACCOUNT_COMPLETION).passed
