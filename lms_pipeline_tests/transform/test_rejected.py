"""Records without usable ids: stored as received, with the field and a reason without values."""

import json
from typing import Any

import pytest

from lms_pipeline_tests.support.served_records import MINIMAL, NOON, flatten

UNUSABLE: list[Any] = [None, "", "  ", "\u00a0", 1.5, 1.0, True, [], {}, ["e1"]]


def reject(record, identity="enrollment_id"):
    """Return the field and reason of a record that is rejected."""
    batches, _ = flatten(record, identity=identity)
    assert batches.unified.num_rows == 0
    (row,) = batches.rejected.to_pylist()
    return row["field"], row["reason"]


def drop_field(name):
    return {key: value for key, value in MINIMAL.items() if key != name}


def test_a_rejected_record_is_kept_as_received():
    batches, _ = flatten('{ "id" : 1.0, "user": {"id":"u1"} }')
    assert batches.rejected.to_pylist() == [
        {
            "payload": '{ "id" : 1.0, "user": {"id":"u1"} }',
            "reason": "id is neither a string nor a whole number",
            "field": "id",
            "fetched_at": NOON,
        }
    ]


@pytest.mark.parametrize("identity", ["enrollment_id", "pair"])
@pytest.mark.parametrize("name", ["user", "course"])
@pytest.mark.parametrize("served", UNUSABLE)
def test_a_learner_or_course_with_an_unusable_id_is_rejected_by_either_identity(name, served, identity):
    field, _ = reject(MINIMAL | {name: {"id": served}}, identity)
    assert field == f"{name}.id"


@pytest.mark.parametrize("name", ["user", "course"])
@pytest.mark.parametrize("served", [None, "u1", 7, [], [{"id": "u1"}]])
def test_a_learner_or_course_that_is_not_an_object_is_rejected(name, served):
    assert reject(MINIMAL | {name: served}) == (f"{name}.id", f"{name} is not an object")


@pytest.mark.parametrize("name", ["user", "course"])
def test_a_learner_or_course_that_is_missing_is_rejected(name):
    field, _ = reject(drop_field(name))
    assert field == f"{name}.id"


@pytest.mark.parametrize("served", UNUSABLE)
def test_an_unusable_enrollment_id_is_rejected_if_it_is_the_identity(served):
    field, _ = reject(MINIMAL | {"id": served})
    assert field == "id"


def test_the_reason_names_a_missing_enrollment_id():
    assert reject(drop_field("id")) == ("id", "id is missing")


@pytest.mark.parametrize("record", [drop_field("id"), MINIMAL | {"id": None}, MINIMAL | {"id": ""}])
def test_by_pair_an_enrollment_needs_no_id_of_its_own(record):
    batches, _ = flatten(record, identity="pair")
    assert batches.unified.column("enrollment_id").to_pylist() == [None]


def test_by_pair_an_unreadable_id_is_kept_in_extra():
    batches, _ = flatten(MINIMAL | {"id": [5]}, identity="pair")
    assert batches.unified.column("extra").to_pylist() == ['{"id":[5]}']


@pytest.mark.parametrize("record", ["null", "[]", '"e1"', "5", "true"])
def test_a_record_that_is_not_an_object_is_rejected_without_a_field(record):
    assert reject(record) == (None, "the record is not an object")


@pytest.mark.parametrize(
    "record",
    [
        {"id": "s3cret", "user": {"id": {"email": "ada@example.org"}}, "course": {"id": "c1"}},
        {"id": "s3cret", "user": "ada@example.org", "course": {"id": "c1"}},
        {"id": ["s3cret"], "user": {"id": "u1"}, "course": {"id": "c1"}, "ada@example.org": 1},
    ],
)
def test_the_reason_contains_no_values(record):
    _, reason = reject(record)
    assert "s3cret" not in reason
    assert "example.org" not in reason


def test_no_other_unreadable_field_rejects_a_record():
    unreadable = [[None]]
    record = MINIMAL | {
        "status": unreadable,
        "due_at": unreadable,
        "score": unreadable,
        "urls": unreadable,
        "assigned_by": unreadable,
    }
    batches, _ = flatten(record | {"user": {"id": "u1", "name": {}, "emails": 5}})
    assert (batches.unified.num_rows, batches.rejected.num_rows) == (1, 0)


def test_rejected_rows_are_in_the_order_served_beside_the_others():
    served = [{"id": 1.5}, MINIMAL, {"id": 2.5}, MINIMAL]
    batches, _ = flatten(*served)
    assert batches.unified.num_rows == 2
    assert [json.loads(payload) for payload in batches.rejected.column("payload").to_pylist()] == [served[0], served[2]]
