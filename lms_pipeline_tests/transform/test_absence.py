"""Null is null: what is missing, null or blank has no value."""

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
    *(
        "created_at",
        "updated_at",
        "assigned_by",
        "time_spent_seconds",
        "custom_fields",
        "urls",
        "remote_data",
    ),
]
NOTHING_TOLD = {
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


def test_a_record_of_three_ids_leaves_all_else_null():
    assert flatten_row(MINIMAL) == NOTHING_TOLD


def test_null_everywhere_is_the_same_as_nothing():
    person = {"id": "u1", "name": None, "emails": None}
    told = flatten_row_with(user=person, course={"id": "c1", "title": None}, **dict.fromkeys(OPTIONAL))
    assert told == NOTHING_TOLD


def test_null_everywhere_is_read_the_fast_way():
    _, flattener = flatten(MINIMAL | dict.fromkeys(OPTIONAL))
    assert flattener.counts["read_leniently"] == 0


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", "\u2003"])
def test_a_blank_text_is_null(blank):
    told = flatten_row_with(
        user={"id": "u1", "name": blank},
        course={"id": "c1", "title": blank},
        assigned_by={"id": blank, "name": blank},
        **dict.fromkeys(("score", "attempt_number", "is_mandatory", "due_at"), blank),
    )
    assert told == NOTHING_TOLD


def test_zero_and_false_are_values():
    told = flatten_row_with(progress_percent=0, attempt_number=0, time_spent_seconds=0, is_mandatory=False)
    assert [told[name] for name in ("progress_percent", "attempt_number", "time_spent_seconds")] == [
        0.0,
        0,
        0,
    ]
    assert told["is_mandatory"] is False


def test_a_list_that_is_missing_is_null_and_one_that_is_empty_is_empty():
    assert (flatten_row_with()["urls"], flatten_row_with(urls=[])["urls"]) == (None, [])


def test_lists_null_and_empty_and_full_keep_to_their_rows():
    lists = [None, [], [{"url": "https://example.org/1"}], None, [{"type": "a"}, {"type": "b"}]]
    flat, _ = flatten(*(MINIMAL | {"urls": urls} for urls in lists))
    assert flat.unified.column("urls").to_pylist() == [
        None,
        [],
        [{"type": None, "url": "https://example.org/1"}],
        None,
        [{"type": "a", "url": None}, {"type": "b", "url": None}],
    ]


def test_no_records_give_empty_batches_of_the_schemas():
    flat, _ = flatten()
    assert [batch.num_rows for batch in (flat.unified, flat.raw, flat.rejected)] == [0, 0, 0]


@pytest.mark.parametrize("served", ['{"b": 1.0, "a": [ ]}', "{}", '"text"', "0", "[1]", '{"é": "\\u00e9"}'])
def test_custom_fields_are_kept_as_their_json(served):
    assert flatten_row_of_text(f'"custom_fields":{served}')["custom_fields"] == served


def test_rows_stand_in_the_order_served():
    ids = ["e9", "e1", "e5", "e1"]
    flat, _ = flatten(*(MINIMAL | {"id": number} for number in ids))
    assert flat.unified.column("enrollment_id").to_pylist() == ids


def test_rows_stand_in_the_order_served_whichever_way_they_are_read():
    served = ['{"id":"e1"', '{"id":2', '{"new":1,"id":"e3"', '{"score":"bad","id":"e4"', '{"id":"e5"']
    people = '"user":{"id":"u1"},"course":{"id":"c1"}}'
    flat, _ = flatten(*(f"{of},{people}" for of in served))
    assert flat.unified.column("enrollment_id").to_pylist() == ["e1", "2", "e3", "e4", "e5"]


def test_keys_of_nothing_are_kept_with_their_null():
    assert parse_extra(flatten_row_with(badge=None)) == {"badge": None}
