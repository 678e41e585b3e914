"""The strict and the lenient reader return the same for a record that fits, and undocumented keys stay cheap."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.transform.enrollments import ResponseRecords
from lms_pipeline_tests.support.fitting_records import ANY_KEYS, PLAIN_KEYS, build_enrollments, encode
from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    flatten,
    flatten_row,
    flatten_row_with,
    parse_extra,
    read_records,
)

NO_FIELD_NAME = 'read "leniently"'
"""A key with quotes can't be a field of a struct: a record that has it is always read leniently."""


def read_leniently(texts):
    """Return the unified and raw rows of the same records, read leniently."""
    batches, flattener = flatten(*(f"{json.dumps({NO_FIELD_NAME: 0})[:-1]},{text[1:]}" for text in texts))
    assert flattener.counts["read_leniently"] == len(texts)
    rows = batches.unified.to_pylist()
    for row in rows:
        members = parse_extra(row)
        assert members.pop(NO_FIELD_NAME) == 0
        row["extra"] = members
    return rows, batches.raw.to_pylist()


@settings(max_examples=120, deadline=None)
@given(st.lists(encode(build_enrollments(ANY_KEYS)), min_size=1, max_size=3))
def test_both_readers_return_the_same_for_a_record_that_fits(texts):
    batches, _ = flatten(*texts)
    rows = [row | {"extra": parse_extra(row)} for row in batches.unified.to_pylist()]
    assert (rows, batches.raw.to_pylist()) == read_leniently(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(encode(build_enrollments(PLAIN_KEYS)), min_size=1, max_size=3))
def test_a_record_that_fits_is_read_strictly_with_any_undocumented_keys(texts):
    _, flattener = flatten(*texts)
    assert flattener.counts["read_leniently"] == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(encode(build_enrollments(ANY_KEYS)), min_size=1, max_size=3))
def test_a_page_gives_the_same_rows_once_its_undocumented_keys_are_fields(texts):
    first, flattener = flatten(*texts)
    again = flattener.flatten_responses([ResponseRecords(read_records(*texts), NOON)])
    assert again.unified.equals(first.unified)


@pytest.mark.parametrize(
    "key", ["", "a.b", "clé", "日本", "'", "[0]", "undocumented_0", "__class__", "user id", "x" * 500]
)
def test_an_undocumented_key_is_a_field_after_one_record(key):
    batches, flattener = flatten(MINIMAL | {key: 1}, MINIMAL | {key: [2]}, MINIMAL)
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == [{key: 1}, {key: [2]}, {}]
    assert flattener.counts["read_leniently"] == 0


@pytest.mark.parametrize("key", ['say "x"', "back\\slash", "line\nbreak", "\x00"])
def test_a_key_that_no_struct_can_have_is_kept_in_extra(key):
    batches, flattener = flatten(MINIMAL | {key: 1, "plain": 2}, MINIMAL | {"plain": 3})
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == [{key: 1, "plain": 2}, {"plain": 3}]
    assert flattener.counts["read_leniently"] == 1


def test_undocumented_keys_at_every_level_have_dotted_names():
    row = flatten_row(
        {
            "id": "e1",
            "user": {"id": "u1", "team": "red", "emails": [{"ok": 1}, {"email": "a@example.org", "ok": None}]},
            "course": {"id": "c1", "code": 7},
            "assigned_by": {"via": {}},
            "urls": [{"rank": 1.0}],
            "tenant": True,
        }
    )
    assert parse_extra(row) == {
        "user.team": "red",
        "user.emails[0].ok": 1,
        "user.emails[1].ok": None,
        "course.code": 7,
        "assigned_by.via": {},
        "urls[0].rank": 1.0,
        "tenant": True,
    }


def test_a_key_beside_an_unreadable_value_becomes_a_field():
    batches, flattener = flatten(MINIMAL | {"score": "good", "x": 1}, MINIMAL | {"x": 2})
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == [{"score": "good", "x": 1}, {"x": 2}]
    assert flattener.counts["read_leniently"] == 1


def test_extra_is_null_without_undocumented_keys():
    assert flatten_row_with()["extra"] is None


def test_extra_keeps_the_json_of_a_value_as_received():
    batches, _ = flatten('{"id":"e1","user":{"id":"u1"},"course":{"id":"c1"},"x": {"n": 1.0,  "s": "\\u00e9"} }')
    assert batches.unified.column("extra").to_pylist() == ['{"x":{"n": 1.0,  "s": "\\u00e9"}}']


def test_too_many_undocumented_keys_are_no_fields_and_not_lost():
    # 150 become fields with the first record; the 100 new ones of the second would make 250, more than the limit of 200.
    first, second = ({f"{name}{number}": number for number in range(count)} for name, count in (("a", 150), ("b", 100)))
    batches, flattener = flatten(MINIMAL | first, MINIMAL | second, MINIMAL | first)
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == [first, second, first]
    assert flattener.counts["read_leniently"] == 1
