"""Findings of several tables, merged into one."""

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, merge_findings

PASSED = Finding(passed=True, message="All 3 columns are as described.", figures={"columns": 3})
FAILED = Finding(passed=False, message="1 columns are not.", figures={"columns": 2}, rows=[{"column": "status"}])


def test_a_single_finding_stays_as_it_is():
    assert merge_findings({"courses": FAILED}) is FAILED


def test_the_merged_finding_passes_if_all_do_and_has_the_figures_of_each():
    found = merge_findings({"courses": PASSED, "learners": PASSED})
    assert found.passed
    assert found.figures == {"courses.columns": 3, "learners.columns": 3}
    assert found.message == ("courses: All 3 columns are as described. learners: All 3 columns are as described.")


def test_the_merged_finding_fails_with_the_message_of_the_failed_one():
    found = merge_findings({"courses": PASSED, "learners": FAILED})
    assert (found.passed, found.message) == (False, "learners: 1 columns are not.")
    assert found.rows == [{"table": "learners", "column": "status"}]


def test_the_merged_finding_shows_no_more_rows_than_a_single_one():
    many = Finding(passed=False, message="Many.", rows=[{"column": str(number)} for number in range(MAX_EXAMPLE_ROWS)])
    assert len(merge_findings({"courses": many, "learners": many}).rows) == MAX_EXAMPLE_ROWS
