"""The fast and the lenient way to read a record give the same where a record fits."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline_tests.support.fitting_records import any_keys, enrollments, plain_keys, texts_of
from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    flatten,
    flatten_row,
    flatten_row_with,
    parse_extra,
    read_records,
)

UNLEARNABLE = 'read "leniently"'
"""A key with quotes can't be learned: a record that has it is read the lenient way each time."""


def read_leniently(texts):
    """The rows of the same records, by the lenient way."""
    flat, flattener = flatten(*(f"{json.dumps({UNLEARNABLE: 0})[:-1]},{text[1:]}" for text in texts))
    assert flattener.counts["read_leniently"] == len(texts)
    rows = flat.unified.to_pylist()
    for told in rows:
        members = parse_extra(told)
        assert members.pop(UNLEARNABLE) == 0
        told["extra"] = members
    return rows, flat.raw.to_pylist()


@settings(max_examples=120, deadline=None)
@given(st.lists(texts_of(enrollments(any_keys)), min_size=1, max_size=3))
def test_what_fits_reads_the_same_both_ways(texts):
    flat, _ = flatten(*texts)
    rows = [told | {"extra": parse_extra(told)} for told in flat.unified.to_pylist()]
    assert (rows, flat.raw.to_pylist()) == read_leniently(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts_of(enrollments(plain_keys)), min_size=1, max_size=3))
def test_what_fits_is_read_the_fast_way_with_whatever_keys_beside(texts):
    _, flattener = flatten(*texts)
    assert flattener.counts["read_leniently"] == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(texts_of(enrollments(any_keys)), min_size=1, max_size=3))
def test_a_page_served_again_gives_the_same_rows_once_its_keys_are_learned(texts):
    first, flattener = flatten(*texts)
    again = flattener.flatten(read_records(*texts), NOON)
    assert again.unified.equals(first.unified)


@pytest.mark.parametrize(
    "key", ["", "a.b", "clé", "日本", "'", "[0]", "undocumented_0", "__class__", "user id", "x" * 500]
)
def test_a_key_is_learned_on_first_sight(key):
    flat, flattener = flatten(MINIMAL | {key: 1}, MINIMAL | {key: [2]}, MINIMAL)
    assert [parse_extra(told) for told in flat.unified.to_pylist()] == [{key: 1}, {key: [2]}, {}]
    assert flattener.counts["read_leniently"] == 0


@pytest.mark.parametrize("key", ['say "x"', "back\\slash", "line\nbreak", "\x00"])
def test_a_key_that_no_struct_can_have_is_kept_all_the_same(key):
    flat, flattener = flatten(MINIMAL | {key: 1, "plain": 2}, MINIMAL | {"plain": 3})
    assert [parse_extra(told) for told in flat.unified.to_pylist()] == [{key: 1, "plain": 2}, {"plain": 3}]
    assert flattener.counts["read_leniently"] == 1


def test_keys_at_every_level_are_told_by_their_dotted_names():
    told = flatten_row(
        {
            "id": "e1",
            "user": {
                "id": "u1",
                "team": "red",
                "emails": [{"ok": 1}, {"email": "a@example.org", "ok": None}],
            },
            "course": {"id": "c1", "code": 7},
            "assigned_by": {"via": {}},
            "urls": [{"rank": 1.0}],
            "tenant": True,
        }
    )
    assert parse_extra(told) == {
        "user.team": "red",
        "user.emails[0].ok": 1,
        "user.emails[1].ok": None,
        "course.code": 7,
        "assigned_by.via": {},
        "urls[0].rank": 1.0,
        "tenant": True,
    }


def test_a_value_beside_an_unreadable_one_is_still_learned():
    flat, flattener = flatten(MINIMAL | {"score": "good", "x": 1}, MINIMAL | {"x": 2})
    assert [parse_extra(told) for told in flat.unified.to_pylist()] == [{"score": "good", "x": 1}, {"x": 2}]
    assert flattener.counts["read_leniently"] == 1


def test_extra_is_null_where_there_is_nothing():
    assert flatten_row_with()["extra"] is None


def test_extra_keeps_the_json_of_a_value_as_received():
    flat, _ = flatten('{"id":"e1","user":{"id":"u1"},"course":{"id":"c1"},"x": {"n": 1.0,  "s": "\\u00e9"} }')
    assert flat.unified.column("extra").to_pylist() == ['{"x":{"n": 1.0,  "s": "\\u00e9"}}']


def test_keys_without_end_are_not_learned_and_not_lost():
    # 150 are learned of the first record; the 100 new ones of the second would make 250, past the bound of 200.
    first, second = (
        {f"{name}{number}": number for number in range(count)} for name, count in (("a", 150), ("b", 100))
    )
    flat, flattener = flatten(MINIMAL | first, MINIMAL | second, MINIMAL | first)
    assert [parse_extra(told) for told in flat.unified.to_pylist()] == [first, second, first]
    assert flattener.counts["read_leniently"] == 1
