"""Rows of an older snapshot lose the credentials that an older version stored, and keep everything else."""

import hashlib
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline.transform import carried
from lms_pipeline.transform.carried import clean_raw, clean_unified

AT = datetime(2026, 3, 1, tzinfo=UTC)
PLAIN = '{"role": "learner",\n "key": 7, "note": "a\\"b,\\u00e9"}'


def build_raw(*payloads):
    rows = [
        {
            "user_id": f"u{number}",
            "course_id": "c1",
            "payload": payload,
            "payload_sha256": f"digest {number}",
            "source": "raw",
            "fetched_at": AT,
        }
        for number, payload in enumerate(payloads)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(RAW_ENROLLMENTS))


def build_unified(*rows):
    required = {"user_id": "u1", "course_id": "c1", "status": "enrolled", "source": "unified", "fetched_at": AT}
    return pa.RecordBatch.from_pylist([{**required, **row} for row in rows], schema=arrow_schema(UNIFIED_ENROLLMENTS))


def clean_all(clean, rows):
    return pa.Table.from_batches(list(clean(rows)), rows.schema).to_pylist()


@pytest.mark.parametrize(
    ("payload", "cleaned"),
    [
        ('{"login_key": "CANARY"}', '{"login_key": "[removed]"}'),
        (
            '{"custom": [{"name": "Password", "value": "CANARY"}]}',
            '{"custom": [{"name": "Password", "value": "[removed]"}]}',
        ),
        ('{"goto": "https://a.example.org/x/key:CANARY"}', '{"goto": "https://a.example.org/x/key:[removed]"}'),
        ('{"p\\u0061ssword": "CANARY"}', '{"password": "[removed]"}'),
        ('{"é": "\\ud83d", "password": "CANARY"}', '{"é": "\\ud83d", "password": "[removed]"}'),
    ],
)
def test_a_payload_with_a_credential_gets_a_new_digest_and_its_neighbours_keep_theirs(payload, cleaned):
    before, found, after = clean_all(clean_raw, build_raw(PLAIN, payload, PLAIN))
    assert (found["payload"], found["payload_sha256"]) == (cleaned, hashlib.sha256(cleaned.encode()).hexdigest())
    assert [(row["payload"], row["payload_sha256"]) for row in (before, after)] == [
        (PLAIN, "digest 0"),
        (PLAIN, "digest 2"),
    ]


@pytest.mark.parametrize("payload", [PLAIN, '{"password": ""}', '{"login_key": "[removed]"}', "null", '"text"'])
def test_payloads_without_credentials_stay_as_they_are(payload):
    rows = build_raw(payload, payload)
    assert clean_all(clean_raw, rows) == rows.to_pylist()


@pytest.mark.parametrize("name", ["extra", "custom_fields"])
def test_json_of_unified_rows_is_cleaned(name):
    stored = {name: json.dumps({"user.login_key": "CANARY", "n": 1})}
    null, found, plain = clean_all(clean_unified, build_unified({name: None}, stored, {name: '{"n": 1}'}))
    assert null[name] is None
    assert json.loads(found[name]) == {"user.login_key": "[removed]", "n": 1}
    assert plain[name] == '{"n": 1}'


def test_links_of_unified_rows_are_cleaned():
    urls = [
        {"type": "launch", "url": "https://a.example.org/go?token=CANARY&x=1"},
        {"type": None, "url": None},
        {"type": "q", "url": 'https://a.example.org/"\\'},
    ]
    none, empty, found = clean_all(clean_unified, build_unified({}, {"urls": []}, {"urls": urls}))
    assert (none["urls"], empty["urls"]) == (None, [])
    assert found["urls"] == [{"type": "launch", "url": "https://a.example.org/go?token=[removed]&x=1"}, *urls[1:]]


def test_rows_without_credentials_are_the_same_columns():
    unified = build_unified({"extra": '{"n": 1}', "urls": [{"type": "launch", "url": "https://a.example.org/?x=1"}]})
    raw = build_raw(PLAIN)
    assert list(clean_unified(unified)) == [unified]
    assert list(clean_raw(raw)) == [raw]


def test_rows_are_searched_in_parts_of_limited_size_and_keep_their_order(monkeypatch):
    monkeypatch.setattr(carried, "MAX_SEARCHED_BYTES", 500)
    rows = build_raw(*(json.dumps({"n": number, "password": "CANARY"}) for number in range(20)))
    assert len(list(clean_raw(rows))) > 1
    assert [json.loads(row["payload"]) for row in clean_all(clean_raw, rows)] == [
        {"n": number, "password": "[removed]"} for number in range(20)
    ]


def test_no_rows_are_no_rows():
    assert clean_all(clean_raw, build_raw()) == clean_all(clean_unified, build_unified()) == []
