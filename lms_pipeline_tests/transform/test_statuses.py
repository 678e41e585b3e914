"""The status: one of ten, the received one in `status_raw`, and counts of undocumented ones."""

import pytest

from lms_pipeline.transform import enrollments
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline_tests.support.served_records import MINIMAL, NOON, flatten, flatten_row_with, read_records

DOCUMENTED = [
    *("assigned", "enrolled", "in_progress", "completed", "passed", "failed"),
    *("withdrawn", "expired", "overdue", "unknown"),
]


def count_undocumented(*statuses):
    """Return the counts of the undocumented ones of these statuses."""
    _, flattener = flatten(*(MINIMAL | {"status": status} for status in statuses))
    return flattener.undocumented_statuses


@pytest.mark.parametrize("status", DOCUMENTED)
def test_a_documented_status_is_unchanged(status):
    row = flatten_row_with(status=status)
    assert (row["status"], row["status_raw"]) == (status, status)


def test_a_documented_status_is_not_counted():
    assert count_undocumented(*DOCUMENTED, "Passed") == {}


@pytest.mark.parametrize("served", ["Completed", "COMPLETED", " completed", "completed\n", "\u00a0Completed "])
def test_a_documented_status_is_recognized_in_any_case_and_trimmed(served):
    assert flatten_row_with(status=served)["status"] == "completed"


def test_status_raw_is_the_status_as_received():
    assert flatten_row_with(status=" Completed ")["status_raw"] == " Completed "


@pytest.mark.parametrize("served", ["certified", "In Progress", "in-progress", "completed!", "完了"])
def test_an_undocumented_status_is_unknown(served):
    row = flatten_row_with(status=served)
    assert (row["status"], row["status_raw"]) == ("unknown", served)


def test_undocumented_statuses_are_counted_trimmed_and_in_lower_case():
    assert count_undocumented("Certified", " certified", "paused", "completed") == {"certified": 2, "paused": 1}


def test_many_undocumented_statuses_are_counted_together(monkeypatch):
    """An LMS may send free text: a Counter with a text for each enrollment has gigabytes."""
    monkeypatch.setattr(enrollments, "MAX_COUNTED_STATUSES", 2)
    assert count_undocumented("a", "b", "c", "a", "d") == {"a": 2, "b": 1, "(others)": 2}


def test_a_long_undocumented_status_is_counted_by_its_beginning():
    [(name, count)] = count_undocumented("x" * 10_000, "x" * 9_000).items()
    assert (len(name), count) == (200, 2)


@pytest.mark.parametrize("served", ["", " ", None])
def test_a_missing_status_is_unknown_and_counted_as_empty(served):
    assert (flatten_row_with(status=served)["status"], count_undocumented(served)) == ("unknown", {"": 1})


def test_status_raw_keeps_a_blank_status():
    assert (flatten_row_with(status="")["status_raw"], flatten_row_with(status=None)["status_raw"]) == ("", None)


def test_status_raw_keeps_a_number_as_a_string():
    row = flatten_row_with(status=3)
    assert (row["status"], row["status_raw"]) == ("unknown", "3")


def test_statuses_are_counted_over_all_pages():
    _, flattener = flatten(MINIMAL | {"status": "paused"})
    flattener.flatten_responses([ResponseRecords(read_records(MINIMAL | {"status": "paused"}), NOON)])
    assert flattener.undocumented_statuses == {"paused": 2}
