"""The status: one of ten, the one received beside it, and what was never seen counted."""

import pytest

from lms_pipeline_tests.support.served_records import MINIMAL, NOON, flatten, flatten_row_with, read_records

DOCUMENTED = [
    *("assigned", "enrolled", "in_progress", "completed", "passed", "failed"),
    *("withdrawn", "expired", "overdue", "unknown"),
]


def undocumented(*statuses):
    """What is counted of these statuses."""
    _, flattener = flatten(*(MINIMAL | {"status": status} for status in statuses))
    return flattener.undocumented_statuses


@pytest.mark.parametrize("status", DOCUMENTED)
def test_a_documented_status_is_itself(status):
    told = flatten_row_with(status=status)
    assert (told["status"], told["status_raw"]) == (status, status)


def test_a_documented_status_is_not_counted():
    assert undocumented(*DOCUMENTED, "Passed") == {}


@pytest.mark.parametrize(
    "served", ["Completed", "COMPLETED", " completed", "completed\n", "\u00a0Completed "]
)
def test_a_documented_status_is_known_in_any_case_and_trimmed(served):
    assert flatten_row_with(status=served)["status"] == "completed"


def test_the_status_received_is_kept_to_the_letter():
    assert flatten_row_with(status=" Completed ")["status_raw"] == " Completed "


@pytest.mark.parametrize("served", ["certified", "In Progress", "in-progress", "completed!", "完了"])
def test_a_status_never_seen_is_unknown(served):
    told = flatten_row_with(status=served)
    assert (told["status"], told["status_raw"]) == ("unknown", served)


def test_statuses_never_seen_are_counted_trimmed_and_in_lower_case():
    assert undocumented("Certified", " certified", "paused", "completed") == {"certified": 2, "paused": 1}


@pytest.mark.parametrize("served", ["", " ", None])
def test_no_status_is_unknown_and_counted_as_none(served):
    assert (flatten_row_with(status=served)["status"], undocumented(served)) == ("unknown", {"": 1})


def test_a_blank_status_is_kept_as_received():
    assert (flatten_row_with(status="")["status_raw"], flatten_row_with(status=None)["status_raw"]) == (
        "",
        None,
    )


def test_a_status_that_is_a_number_is_kept_as_text():
    told = flatten_row_with(status=3)
    assert (told["status"], told["status_raw"]) == ("unknown", "3")


def test_statuses_are_counted_over_all_pages():
    _, flattener = flatten(MINIMAL | {"status": "paused"})
    flattener.flatten(read_records(MINIMAL | {"status": "paused"}), NOON)
    assert flattener.undocumented_statuses == {"paused": 2}
