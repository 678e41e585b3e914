"""Records that are nobody's: kept as received, with the field and the reason, and without their values."""

import json
from typing import Any

import pytest

from lms_pipeline_tests.support.served_records import MINIMAL, NOON, flatten

UNUSABLE: list[Any] = [None, "", "  ", "\u00a0", 1.5, 1.0, True, [], {}, ["e1"]]


def rejected(record, identity="enrollment_id"):
    """The field and reason of a record that is rejected."""
    flat, _ = flatten(record, identity=identity)
    assert flat.unified.num_rows == 0
    (told,) = flat.rejected.to_pylist()
    return told["field"], told["reason"]


def without(name):
    return {key: value for key, value in MINIMAL.items() if key != name}


def test_a_rejected_record_is_kept_as_received():
    flat, _ = flatten('{ "id" : 1.0, "user": {"id":"u1"} }')
    assert flat.rejected.to_pylist() == [
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
def test_a_learner_or_course_whose_id_is_unusable_is_rejected_by_either_identity(name, served, identity):
    field, _ = rejected(MINIMAL | {name: {"id": served}}, identity)
    assert field == f"{name}.id"


@pytest.mark.parametrize("name", ["user", "course"])
@pytest.mark.parametrize("served", [None, "u1", 7, [], [{"id": "u1"}]])
def test_a_learner_or_course_that_is_no_object_is_rejected(name, served):
    assert rejected(MINIMAL | {name: served}) == (f"{name}.id", f"{name} is not an object")


@pytest.mark.parametrize("name", ["user", "course"])
def test_a_learner_or_course_that_is_missing_is_rejected(name):
    field, _ = rejected(without(name))
    assert field == f"{name}.id"


@pytest.mark.parametrize("served", UNUSABLE)
def test_an_unusable_enrollment_id_is_rejected_where_it_is_the_identity(served):
    field, _ = rejected(MINIMAL | {"id": served})
    assert field == "id"


def test_a_missing_enrollment_id_says_so():
    assert rejected(without("id")) == ("id", "id is missing")


@pytest.mark.parametrize("record", [without("id"), MINIMAL | {"id": None}, MINIMAL | {"id": ""}])
def test_by_pair_an_enrollment_may_have_no_id_of_its_own(record):
    flat, _ = flatten(record, identity="pair")
    assert flat.unified.column("enrollment_id").to_pylist() == [None]


def test_by_pair_an_unreadable_id_is_kept_in_extra():
    flat, _ = flatten(MINIMAL | {"id": [5]}, identity="pair")
    assert flat.unified.column("extra").to_pylist() == ['{"id":[5]}']


@pytest.mark.parametrize("record", ["null", "[]", '"e1"', "5", "true"])
def test_a_record_that_is_no_object_is_rejected_without_a_field(record):
    assert rejected(record) == (None, "the record is not an object")


@pytest.mark.parametrize(
    "record",
    [
        {"id": "s3cret", "user": {"id": {"email": "ada@example.org"}}, "course": {"id": "c1"}},
        {"id": "s3cret", "user": "ada@example.org", "course": {"id": "c1"}},
        {"id": ["s3cret"], "user": {"id": "u1"}, "course": {"id": "c1"}, "ada@example.org": 1},
    ],
)
def test_the_reason_holds_nothing_of_the_values(record):
    _, reason = rejected(record)
    assert "s3cret" not in reason
    assert "example.org" not in reason


def test_nothing_else_is_a_reason_to_reject():
    odd = [[None]]
    record = MINIMAL | {"status": odd, "due_at": odd, "score": odd, "urls": odd, "assigned_by": odd}
    flat, _ = flatten(record | {"user": {"id": "u1", "name": {}, "emails": 5}})
    assert (flat.unified.num_rows, flat.rejected.num_rows) == (1, 0)


def test_rejected_rows_stand_in_the_order_served_and_leave_the_others():
    served = [{"id": 1.5}, MINIMAL, {"id": 2.5}, MINIMAL]
    flat, _ = flatten(*served)
    assert flat.unified.num_rows == 2
    assert [json.loads(payload) for payload in flat.rejected.column("payload").to_pylist()] == [
        served[0],
        served[2],
    ]
