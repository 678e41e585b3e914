"""Findings of several tables or accounts, merged into one."""

from datetime import date

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, merge_accounts, merge_findings
from lms_pipeline.lake.paths import Partition

PASSED = Finding(passed=True, message="All 3 columns are as described.", figures={"columns": 3})
NORTH, SOUTH = Partition("north", date(2026, 3, 10)), Partition("south", date(2026, 3, 9))
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


def test_the_finding_of_a_single_account_names_it_and_keeps_its_figures():
    found = merge_accounts({NORTH: PASSED})
    assert found == Finding(
        passed=True,
        message="north on 2026-03-10: All 3 columns are as described.",
        figures={"snapshots": 1, "failed": 0, "columns": 3},
        rows=[],
    )


def test_the_finding_of_several_accounts_passes_if_all_do_and_names_the_oldest_day():
    found = merge_accounts({NORTH: PASSED, SOUTH: PASSED})
    assert (found.passed, found.figures) == (True, {"snapshots": 2, "failed": 0})
    assert found.message == "The latest snapshots of 2 active accounts pass, the oldest of them of 2026-03-09."


def test_the_finding_of_several_accounts_names_those_that_fail():
    found = merge_accounts({NORTH: PASSED, SOUTH: FAILED})
    assert (found.passed, found.figures) == (False, {"snapshots": 2, "failed": 1})
    assert found.message == (
        "The latest snapshot of 1 of 2 active accounts fails. south on 2026-03-09: 1 columns are not."
    )
    assert found.rows == [{"account_id": "south", "snapshot_date": "2026-03-09", "column": "status"}]


def test_the_finding_of_many_accounts_names_the_first_of_those_that_fail():
    many = {Partition(f"a{number}", NORTH.day): FAILED for number in range(2 * MAX_EXAMPLE_ROWS)}
    found = merge_accounts(many)
    assert found.message.startswith("The latest snapshots of 20 of 20 active accounts fail. a0 on 2026-03-10: ")
    assert found.message.count("columns are not") == len(found.rows) == MAX_EXAMPLE_ROWS
