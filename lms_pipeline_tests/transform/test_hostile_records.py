"""Records of any content: no value is lost, and every batch can be stored."""

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
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.hostile_records import LEAVES, RECORDS
from lms_pipeline_tests.support.served_records import MINIMAL, NOON, flatten, flatten_row, parse_extra, read_records

COLUMNS = {
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


def find_lost(columns, served, row, extra, name=""):
    """Yield the dotted names of the values of an object that are neither in their columns nor in `extra`."""
    for key, value in served.items():
        column, dotted = columns.get(key), f"{name}{key}"
        if dotted in extra or value is None or (isinstance(value, str) and not value.strip()):
            continue
        if isinstance(column, dict) and isinstance(value, dict):
            yield from find_lost(column, value, row, extra, f"{dotted}.")
        elif isinstance(column, tuple) and isinstance(value, list) and row[column[0]] is not None:
            for index, (item, items) in enumerate(zip(value, row[column[0]], strict=True)):
                yield from find_lost(column[1], item, items, extra, f"{dotted}[{index}].")
        elif not isinstance(column, str) or row[column] is None:
            yield dotted


@settings(max_examples=choose(35, 100), deadline=None)
@given(st.lists(RECORDS, max_size=4))
def test_every_record_is_a_row_and_every_value_is_stored(texts):
    served = read_records(*texts)
    batches = EnrollmentFlattener("pair").flatten_responses([ResponseRecords(served, NOON)])
    rejected = set(batches.rejected.column("payload").to_pylist())
    assert batches.unified.num_rows + batches.rejected.num_rows == len(texts)
    kept = [json.loads(bytes(record)) for record in served if bytes(record).decode() not in rejected]
    for row, record in zip(batches.unified.to_pylist(), kept, strict=True):
        record.pop("remote_data", None)
        assert list(find_lost(COLUMNS, record, row, parse_extra(row))) == []


@settings(max_examples=choose(15, 40), deadline=None)
@given(st.lists(RECORDS, max_size=4))
def test_every_batch_is_valid_and_DuckDB_reads_it_from_parquet(tmp_path_factory, texts):  # noqa: N802
    batches, _ = flatten(*texts)
    folder = tmp_path_factory.mktemp("hostile")
    for batch in (batches.unified, batches.raw, batches.rejected):
        batch.validate(full=True)
        pq.write_table(pa.Table.from_batches([batch]), folder / "batch.parquet")
        with duckdb_session() as connection:
            found = connection.read_parquet(str(folder / "batch.parquet")).to_arrow_table()
        assert found.cast(batch.schema).equals(pa.Table.from_batches([batch]))


@settings(max_examples=choose(20, 60), deadline=None)
@given(st.lists(RECORDS, max_size=4))
def test_every_raw_payload_has_its_hash(texts):
    batches, _ = flatten(*texts)
    for row in batches.raw.to_pylist():
        assert hashlib.sha256(row["payload"].encode()).hexdigest() == row["payload_sha256"]


@pytest.mark.parametrize("name", ["status", "score", "due_at", "custom_fields", "remote_data", "urls", "other"])
def test_nesting_deeper_than_the_stack_rejects_the_record(name):
    text = f'{{"id":"e1","user":{{"id":"u1"}},"course":{{"id":"c1"}},"{name}":{"[" * 5_000}{"]" * 5_000}}}'
    batches = EnrollmentFlattener("enrollment_id").flatten_responses(
        [ResponseRecords([msgspec.Raw(text.encode())], NOON)]
    )
    assert batches.rejected.column("payload").to_pylist() == [text]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5_000])
def test_a_number_out_of_range_goes_to_extra(number):
    batches, flattener = flatten(f'{{"id":"e1","user":{{"id":"u1"}},"course":{{"id":"c1"}},"score":{number}}}')
    assert batches.unified.column("score").to_pylist() == [None]
    assert batches.unified.column("extra").to_pylist() == [f'{{"score":{number}}}']
    assert flattener.counts["unreadable_score"] == 1


def test_the_last_of_two_equal_keys_is_read():
    row = flatten_row('{"id":"e1","id":"e2","user":{"id":"u1"},"course":{"id":"c1"},"score":1,"score":2}')
    assert (row["enrollment_id"], row["score"]) == ("e2", 2.0)


def test_a_lone_surrogate_leaves_the_rest_of_the_name():
    row = flatten_row(r'{"id":"e1","user":{"id":"u1","name":"Ada \ud83d"},"course":{"id":"c1"}}')
    assert row["user_name"] == "Ada \ufffd"


def test_an_item_that_is_not_an_object_sends_the_whole_list_to_extra():
    emails = [{"email": "a@example.org"}, "b@example.org"]
    row = flatten_row(MINIMAL | {"user": {"id": "u1", "emails": emails}})
    assert (row["user_emails"], parse_extra(row)) == (None, {"user.emails": emails})


def test_an_object_in_place_of_a_string_goes_to_extra():
    row = flatten_row(MINIMAL | {"status": {"label": "done"}})
    assert (row["status"], row["status_raw"], parse_extra(row)) == ("unknown", None, {"status": {"label": "done"}})


def test_a_string_in_place_of_an_object_goes_to_extra():
    row = flatten_row(MINIMAL | {"assigned_by": "Grace"})
    assert (row["assigned_by_name"], parse_extra(row)) == (None, {"assigned_by": "Grace"})
