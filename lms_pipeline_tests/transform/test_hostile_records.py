"""Whatever a server may send: nothing is lost, and nothing comes out that can't be stored."""

import hashlib
import json

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.transform.enrollments import EnrollmentFlattener
from lms_pipeline_tests.support.hostile_records import LEAVES, records
from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    flatten,
    flatten_row,
    parse_extra,
    read_records,
)

HOMES = {
    **{name: name for name in LEAVES},
    "id": "enrollment_id",
    "status": "status_raw",
    "user": {
        "id": "user_id",
        "name": "user_name",
        "emails": ("user_emails", {"email": "email", "is_primary": "is_primary", "type": "type"}),
    },
    "course": {"id": "course_id", "title": "course_title"},
    "assigned_by": {"id": "assigned_by_id", "name": "assigned_by_name"},
    "urls": ("urls", {"type": "type", "url": "url"}),
}
"""The column of each documented field; the column and the fields of its items for a list."""


def lost(homes, served, told, extra, name=""):
    """The dotted names of the values of an object that are neither in their columns nor in `extra`."""
    for key, value in served.items():
        home, dotted = homes.get(key), f"{name}{key}"
        if dotted in extra or value is None or (isinstance(value, str) and not value.strip()):
            continue
        if isinstance(home, dict) and isinstance(value, dict):
            yield from lost(home, value, told, extra, f"{dotted}.")
        elif isinstance(home, tuple) and isinstance(value, list) and told[home[0]] is not None:
            for place, (item, items) in enumerate(zip(value, told[home[0]], strict=True)):
                yield from lost(home[1], item, items, extra, f"{dotted}[{place}].")
        elif not isinstance(home, str) or told[home] is None:
            yield dotted


@settings(max_examples=100, deadline=None)
@given(st.lists(records, max_size=4))
def test_every_record_is_a_row_and_every_value_has_a_place(texts):
    served = read_records(*texts)
    flat = EnrollmentFlattener("pair").flatten(served, NOON)
    rejected = set(flat.rejected.column("payload").to_pylist())
    assert flat.unified.num_rows + flat.rejected.num_rows == len(texts)
    kept = [json.loads(bytes(record)) for record in served if bytes(record).decode() not in rejected]
    for told, record in zip(flat.unified.to_pylist(), kept, strict=True):
        record.pop("remote_data", None)
        assert list(lost(HOMES, record, told, parse_extra(told))) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(records, max_size=4))
def test_every_batch_is_valid_and_DuckDB_reads_it_from_parquet(tmp_path_factory, texts):  # noqa: N802
    flat, _ = flatten(*texts)
    folder = tmp_path_factory.mktemp("hostile")
    for batch in (flat.unified, flat.raw, flat.rejected):
        batch.validate(full=True)
        pq.write_table(pa.Table.from_batches([batch]), folder / "batch.parquet")
        with duckdb_session() as connection:
            found = connection.read_parquet(str(folder / "batch.parquet")).to_arrow_table()
        assert found.cast(batch.schema).equals(pa.Table.from_batches([batch]))


@settings(max_examples=60, deadline=None)
@given(st.lists(records, max_size=4))
def test_every_raw_payload_stands_with_its_hash(texts):
    flat, _ = flatten(*texts)
    for told in flat.raw.to_pylist():
        assert hashlib.sha256(told["payload"].encode()).hexdigest() == told["payload_sha256"]


@pytest.mark.parametrize(
    "name", ["status", "score", "due_at", "custom_fields", "remote_data", "urls", "other"]
)
def test_nesting_deeper_than_the_stack_rejects_the_record(name):
    text = f'{{"id":"e1","user":{{"id":"u1"}},"course":{{"id":"c1"}},"{name}":{"[" * 5_000}{"]" * 5_000}}}'
    flat = EnrollmentFlattener("enrollment_id").flatten([msgspec.Raw(text.encode())], NOON)
    assert flat.rejected.column("payload").to_pylist() == [text]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5_000])
def test_a_number_beyond_all_numbers_goes_to_extra(number):
    flat, flattener = flatten(f'{{"id":"e1","user":{{"id":"u1"}},"course":{{"id":"c1"}},"score":{number}}}')
    assert flat.unified.column("score").to_pylist() == [None]
    assert flat.unified.column("extra").to_pylist() == [f'{{"score":{number}}}']
    assert flattener.counts["unreadable_score"] == 1


def test_a_key_served_twice_is_read_as_its_last():
    told = flatten_row('{"id":"e1","id":"e2","user":{"id":"u1"},"course":{"id":"c1"},"score":1,"score":2}')
    assert (told["enrollment_id"], told["score"]) == ("e2", 2.0)


def test_half_an_emoji_leaves_the_rest_of_the_name():
    told = flatten_row(r'{"id":"e1","user":{"id":"u1","name":"Ada \ud83d"},"course":{"id":"c1"}}')
    assert told["user_name"] == "Ada \ufffd"


def test_an_item_that_is_no_object_sends_the_whole_list_to_extra():
    emails = [{"email": "a@example.org"}, "b@example.org"]
    told = flatten_row(MINIMAL | {"user": {"id": "u1", "emails": emails}})
    assert (told["user_emails"], parse_extra(told)) == (None, {"user.emails": emails})


def test_an_object_where_a_text_is_documented_goes_to_extra():
    told = flatten_row(MINIMAL | {"status": {"label": "done"}})
    assert (told["status"], told["status_raw"], parse_extra(told)) == (
        "unknown",
        None,
        {"status": {"label": "done"}},
    )


def test_a_text_where_an_object_is_documented_goes_to_extra():
    told = flatten_row(MINIMAL | {"assigned_by": "Grace"})
    assert (told["assigned_by_name"], parse_extra(told)) == (None, {"assigned_by": "Grace"})
