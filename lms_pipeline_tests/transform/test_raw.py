"""The provider's own answer, to the byte, and the role in it."""

import hashlib
import json

import pytest

from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    flatten,
    flatten_row_of_text,
    flatten_row_with,
)

PAYLOADS = [
    '{ "id" : 1.0 ,\n\t"name": "\\u00e9\\/" }',
    '{"id":1,"name":"é/"}',
    '{"b":1e2,"a":-0.0,"a":1}',
    '"text"',
    "[]",
    "0",
    "false",
]


def raw_of(payload, record=MINIMAL):
    """The raw rows of a record whose `remote_data` is this JSON text."""
    flat, _ = flatten(f'{json.dumps(record)[:-1]}, "remote_data": {payload} , "score": 1}}')
    return flat.raw.to_pylist()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_payload_is_what_was_received_to_the_byte(payload):
    assert [told["payload"] for told in raw_of(payload)] == [payload]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_payload_is_the_same_where_the_record_is_read_leniently(payload):
    assert [told["payload"] for told in raw_of(payload, MINIMAL | {"due_at": "soon"})] == [payload]


def test_a_payload_names_its_learner_course_source_and_hash():
    assert raw_of('{"role":"learner"}') == [
        {
            "user_id": "u1",
            "course_id": "c1",
            "payload": '{"role":"learner"}',
            "payload_sha256": "5059a539d37009af5e40e95d5c7d4a7cd52f9283b96baff55d3a71b09d367eb3",
            "source": "remote_data",
            "fetched_at": NOON,
        }
    ]


def test_the_hash_is_of_the_bytes_not_of_the_letters():
    (told,) = raw_of('"é"')
    assert told["payload_sha256"] == hashlib.sha256(b'"\xc3\xa9"').hexdigest()


@pytest.mark.parametrize("fields", [{}, {"remote_data": None}])
def test_without_a_payload_there_is_no_raw_row(fields):
    flat, _ = flatten(MINIMAL | fields)
    assert (flat.unified.num_rows, flat.raw.num_rows) == (1, 0)


def test_the_payload_is_not_told_as_extra():
    assert flatten_row_with(remote_data={"role": "learner"})["extra"] is None


def test_raw_rows_stand_in_the_order_served():
    flat, _ = flatten(
        *(
            MINIMAL | {"id": str(number), "remote_data": number} if number != 2 else MINIMAL
            for number in range(4)
        )
    )
    assert flat.raw.column("payload").to_pylist() == ["0", "1", "3"]


@pytest.mark.parametrize(
    ("people", "found"),
    [
        ('"user":{},"course":{"id":"c1"}', (None, "c1")),
        ('"user":{"id":7},"course":null', ("7", None)),
        ('"user":"u1","course":{"id":" "}', (None, None)),
    ],
)
def test_a_rejected_record_keeps_its_payload_and_the_ids_that_are_found(people, found):
    flat, _ = flatten('{"id":"e1",' + people + ',"remote_data":{ "id" :5}}')
    (told,) = flat.raw.to_pylist()
    assert (told["user_id"], told["course_id"]) == found
    assert told["payload"] == '{ "id" :5}'


def test_the_role_is_the_provider_s():
    assert flatten_row_with(remote_data={"id": 1, "role": "Instructor", "more": [1]})["role"] == "Instructor"


@pytest.mark.parametrize(
    "payload",
    [
        *("null", "{}", "[]", '"learner"', "5", '[{"role":"learner"}]', '{"user":{"role":"learner"}}'),
        *('{"role":null}', '{"role":5}', '{"role":["learner"]}', '{"role":""}', '{"role":" "}'),
    ],
)
def test_a_payload_without_a_role_in_text_gives_none(payload):
    assert flatten_row_of_text(f'"remote_data":{payload}')["role"] is None


def test_without_a_payload_there_is_no_role():
    assert flatten_row_with(role="learner")["role"] is None
