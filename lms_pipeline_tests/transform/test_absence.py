"""Missing, null and blank fields: the column is null."""

import pytest

from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    flatten,
    flatten_row,
    flatten_row_of_text,
    flatten_row_with,
    parse_extra,
)

OPTIONAL = [
    *("status", "progress_percent", "score", "is_mandatory", "attempt_number", "attempts_count"),
    *("assigned_at", "enrolled_at", "started_at", "completed_at", "due_at", "last_activity_at"),
    *("created_at", "updated_at", "assigned_by", "time_spent_seconds", "custom_fields", "urls", "remote_data"),
]
EMPTY_ROW = {
    "enrollment_id": "e1",
    "user_id": "u1",
    "user_name": None,
    "user_email": None,
    "user_emails": None,
    "course_id": "c1",
    "course_title": None,
    "status": "unknown",
    "status_raw": None,
    "progress_percent": None,
    "score": None,
    "is_mandatory": None,
    "attempt_number": None,
    "attempts_count": None,
    "assigned_at": None,
    "enrolled_at": None,
    "started_at": None,
    "completed_at": None,
    "due_at": None,
    "last_activity_at": None,
    "created_at": None,
    "updated_at": None,
    "assigned_by_id": None,
    "assigned_by_name": None,
    "time_spent_seconds": None,
    "custom_fields": None,
    "urls": None,
    "role": None,
    "extra": None,
    "source": "unified",
    "fetched_at": NOON,
}


def test_a_record_with_only_three_ids_has_null_in_all_other_columns():
    assert flatten_row(MINIMAL) == EMPTY_ROW


def test_null_fields_are_the_same_as_missing_fields():
    person = {"id": "u1", "name": None, "emails": None}
    row = flatten_row_with(user=person, course={"id": "c1", "title": None}, **dict.fromkeys(OPTIONAL))
    assert row == EMPTY_ROW


def test_null_fields_are_read_strictly():
    _, flattener = flatten(MINIMAL | dict.fromkeys(OPTIONAL))
    assert flattener.counts["read_leniently"] == 0


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", "\u2003"])
def test_a_blank_string_is_null(blank):
    row = flatten_row_with(
        user={"id": "u1", "name": blank},
        course={"id": "c1", "title": blank},
        assigned_by={"id": blank, "name": blank},
        **dict.fromkeys(("score", "attempt_number", "is_mandatory", "due_at"), blank),
    )
    assert row == EMPTY_ROW


def test_zero_and_false_are_values():
    row = flatten_row_with(progress_percent=0, attempt_number=0, time_spent_seconds=0, is_mandatory=False)
    assert [row[name] for name in ("progress_percent", "attempt_number", "time_spent_seconds")] == [0.0, 0, 0]
    assert row["is_mandatory"] is False


def test_a_missing_list_is_null_and_an_empty_list_is_empty():
    assert (flatten_row_with()["urls"], flatten_row_with(urls=[])["urls"]) == (None, [])


def test_null_empty_and_filled_lists_stay_in_their_rows():
    lists = [None, [], [{"url": "https://example.org/1"}], None, [{"type": "a"}, {"type": "b"}]]
    batches, _ = flatten(*(MINIMAL | {"urls": urls} for urls in lists))
    assert batches.unified.column("urls").to_pylist() == [
        None,
        [],
        [{"type": None, "url": "https://example.org/1"}],
        None,
        [{"type": "a", "url": None}, {"type": "b", "url": None}],
    ]


def test_no_records_give_empty_batches():
    batches, _ = flatten()
    assert [batch.num_rows for batch in (batches.unified, batches.raw, batches.rejected)] == [0, 0, 0]


@pytest.mark.parametrize("served", ['{"b": 1.0, "a": [ ]}', "{}", '"text"', "0", "[1]", '{"é": "\\u00e9"}'])
def test_custom_fields_are_stored_as_received(served):
    assert flatten_row_of_text(f'"custom_fields":{served}')["custom_fields"] == served


def test_rows_are_in_the_order_served():
    ids = ["e9", "e1", "e5", "e1"]
    batches, _ = flatten(*(MINIMAL | {"id": number} for number in ids))
    assert batches.unified.column("enrollment_id").to_pylist() == ids


def test_rows_are_in_the_order_served_if_some_are_read_leniently():
    served = ['{"id":"e1"', '{"id":2', '{"new":1,"id":"e3"', '{"score":"bad","id":"e4"', '{"id":"e5"']
    people = '"user":{"id":"u1"},"course":{"id":"c1"}}'
    batches, _ = flatten(*(f"{of},{people}" for of in served))
    assert batches.unified.column("enrollment_id").to_pylist() == ["e1", "2", "e3", "e4", "e5"]


def test_an_undocumented_key_with_null_is_kept_in_extra():
    assert parse_extra(flatten_row_with(badge=None)) == {"badge": None}
