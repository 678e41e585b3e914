"""The provider's own record, byte for byte, and the role in it."""

import hashlib
import json

import pytest

from lms_pipeline_tests.support.served_records import MINIMAL, NOON, flatten, flatten_row_of_text, flatten_row_with

PAYLOADS = [
    '{ "id" : 1.0 ,\n\t"name": "\\u00e9\\/" }',
    '{"id":1,"name":"é/"}',
    '{"b":1e2,"a":-0.0,"a":1}',
    '"text"',
    "[]",
    "0",
    "false",
]


def flatten_raw(payload, record=MINIMAL):
    """Return the raw rows of a record whose `remote_data` is this JSON text."""
    batches, _ = flatten(f'{json.dumps(record)[:-1]}, "remote_data": {payload} , "score": 1}}')
    return batches.raw.to_pylist()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_payload_is_what_was_received_to_the_byte(payload):
    assert [row["payload"] for row in flatten_raw(payload)] == [payload]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_payload_is_the_same_if_the_record_is_read_leniently(payload):
    assert [row["payload"] for row in flatten_raw(payload, MINIMAL | {"due_at": "soon"})] == [payload]


def test_a_raw_row_has_learner_course_source_and_hash():
    assert flatten_raw('{"role":"learner"}') == [
        {
            "user_id": "u1",
            "course_id": "c1",
            "payload": '{"role":"learner"}',
            "payload_sha256": "5059a539d37009af5e40e95d5c7d4a7cd52f9283b96baff55d3a71b09d367eb3",
            "source": "remote_data",
            "fetched_at": NOON,
        }
    ]


def test_the_hash_is_of_the_bytes_not_of_the_characters():
    (row,) = flatten_raw('"é"')
    assert row["payload_sha256"] == hashlib.sha256(b'"\xc3\xa9"').hexdigest()


@pytest.mark.parametrize("fields", [{}, {"remote_data": None}])
def test_without_a_payload_there_is_no_raw_row(fields):
    batches, _ = flatten(MINIMAL | fields)
    assert (batches.unified.num_rows, batches.raw.num_rows) == (1, 0)


def test_the_payload_is_not_in_extra():
    assert flatten_row_with(remote_data={"role": "learner"})["extra"] is None


def test_raw_rows_are_in_the_order_served():
    batches, _ = flatten(
        *(MINIMAL | {"id": str(number), "remote_data": number} if number != 2 else MINIMAL for number in range(4))
    )
    assert batches.raw.column("payload").to_pylist() == ["0", "1", "3"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ('"user":{},"course":{"id":"c1"}', (None, "c1")),
        ('"user":{"id":7},"course":null', ("7", None)),
        ('"user":"u1","course":{"id":" "}', (None, None)),
    ],
)
def test_a_rejected_record_keeps_its_payload_and_its_usable_ids(ids, expected):
    batches, _ = flatten('{"id":"e1",' + ids + ',"remote_data":{ "id" :5}}')
    (row,) = batches.raw.to_pylist()
    assert (row["user_id"], row["course_id"]) == expected
    assert row["payload"] == '{ "id" :5}'


def test_the_role_comes_from_the_payload():
    assert flatten_row_with(remote_data={"id": 1, "role": "Instructor", "more": [1]})["role"] == "Instructor"


@pytest.mark.parametrize(
    "payload",
    [
        *("null", "{}", "[]", '"learner"', "5", '[{"role":"learner"}]', '{"user":{"role":"learner"}}'),
        *('{"role":null}', '{"role":5}', '{"role":["learner"]}', '{"role":""}', '{"role":" "}'),
    ],
)
def test_a_payload_without_a_role_as_a_string_gives_none(payload):
    assert flatten_row_of_text(f'"remote_data":{payload}')["role"] is None


def test_without_a_payload_there_is_no_role():
    assert flatten_row_with(role="learner")["role"] is None
