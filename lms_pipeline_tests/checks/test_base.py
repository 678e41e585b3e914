"""Findings in several tables, told as one."""

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, merge_findings

FINE = Finding(passed=True, message="All 3 columns are as described.", figures={"columns": 3})
WRONG = Finding(
    passed=False, message="1 columns are not.", figures={"columns": 2}, rows=[{"column": "status"}]
)


def test_one_alone_stays_as_it_is():
    assert merge_findings({"courses": WRONG}) is WRONG


def test_pass_where_all_do_with_the_figures_of_each():
    found = merge_findings({"courses": FINE, "learners": FINE})
    assert found.passed
    assert found.figures == {"courses.columns": 3, "learners.columns": 3}
    assert found.message == (
        "courses: All 3 columns are as described. learners: All 3 columns are as described."
    )


def test_fail_where_one_does_and_tell_that_one():
    found = merge_findings({"courses": FINE, "learners": WRONG})
    assert (found.passed, found.message) == (False, "learners: 1 columns are not.")
    assert found.rows == [{"table": "learners", "column": "status"}]


def test_show_no_more_rows_than_a_single_one():
    many = Finding(
        passed=False, message="Many.", rows=[{"column": str(number)} for number in range(MAX_EXAMPLE_ROWS)]
    )
    assert len(merge_findings({"courses": many, "learners": many}).rows) == MAX_EXAMPLE_ROWS
