"""Records of the raw format: their rows, and the ids and roles that they name."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.transform.raw_format import build_raw_list_batches
from lms_pipeline_tests.support.served_records import NOON

NAMES = st.sampled_from(["id", "role", "user", "userId", "user_id", "course", "course_id", "enrolmentId"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(), inner, max_size=4),
    max_leaves=8,
)


def read(*payloads: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    batches = build_raw_list_batches([msgspec.Raw(payload.encode()) for payload in payloads], NOON)
    return batches.raw.to_pylist(), batches.roles.to_pylist()


def test_a_row_has_the_payload_to_the_byte_and_its_hash():
    payload = '{"user_id" : 7,\t"n": 1.50e0}'
    ((row,), _) = read(payload)
    assert row == {
        "user_id": "7",
        "course_id": None,
        "payload": payload,
        "payload_sha256": hashlib.sha256(payload.encode()).hexdigest(),
        "source": "raw",
        "fetched_at": NOON,
    }


@pytest.mark.parametrize(
    ("record", "ids"),
    [
        ({"id": "e1", "user_id": "u1", "course_id": "c1"}, ("e1", "u1", "c1")),
        ({"id": 1, "userId": 2, "courseId": 3}, ("1", "2", "3")),
        ({"id": "x", "enrollment_id": "e1"}, ("e1", None, None)),
        ({"enrolmentId": "e1", "learner": {"id": 2}, "course": {"id": "c"}}, ("e1", "2", "c")),
        ({"student_id": "s", "course": {"title": "no id"}}, (None, "s", None)),
        ({"user_id": None, "user": {"id": "u1"}}, (None, "u1", None)),
        ({"id": "", "user_id": " ", "course_id": True}, (None, None, None)),
        ({"user": "u1", "course": ["c1"], "id": {"a": 1}}, (None, None, None)),
        ([], (None, None, None)),
        ("text", (None, None, None)),
    ],
)
def test_ids_are_read_from_the_names_that_say_what_they_are(record, ids):
    ((row,), (found,)) = read(json.dumps(record))
    assert (found["enrollment_id"], found["user_id"], found["course_id"]) == ids
    assert (row["user_id"], row["course_id"]) == ids[1:]


@pytest.mark.parametrize(("role", "expected"), [("Mentor", "Mentor"), ("", None), (" ", None), (7, None), (None, None)])
def test_a_role_is_a_text(role, expected):
    assert read(json.dumps({"role": role}))[1][0]["role"] == expected


def test_null_is_no_record():
    rows, roles = read("null", "{}", "null")
    assert ([row["payload"] for row in rows], len(roles)) == (["{}"], 1)


def test_a_page_without_records_has_no_rows():
    assert read() == ([], [])


@given(st.lists(JSON.map(json.dumps), max_size=5))
def test_any_records_are_kept_in_their_order(payloads):
    rows, roles = read(*payloads)
    assert [row["payload"] for row in rows] == [payload for payload in payloads if payload != "null"]
    assert len(roles) == len(rows)
