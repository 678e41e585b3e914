"""A page that is decoded at once and a record that is read leniently give the same rows, whatever their undocumented keys."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline_tests.support.fitting_records import ANY_KEYS, DATE_TIMES, UTC_TIMES, build_enrollments, encode
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.served_records import MINIMAL, flatten, flatten_row, flatten_row_with, parse_extra


def read_leniently(texts):
    """Return the unified and raw rows of the same records, read leniently."""
    batches, flattener = flatten(*map(add_other_status, texts))
    assert flattener.counts["read_leniently"] == len(texts)
    rows = [row | {"extra": parse_extra(row)} for row in batches.unified.to_pylist()]
    return rows, batches.raw.to_pylist()


def add_other_status(text):
    """Return a record with a second `status` of a wrong type before its own: only the last one counts."""
    end = text[1:] if "status" in json.loads(text) else f'{text[1:-1]}, "status": null}}'
    return f'{{"status": [], {end}'


@pytest.mark.parametrize("times", [DATE_TIMES, UTC_TIMES], ids=["any", "utc"])
@settings(max_examples=choose(25, 80), deadline=None)
@given(data=st.data())
def test_both_readers_return_the_same_for_a_record_that_fits(times, data):
    texts = data.draw(st.lists(encode(build_enrollments(ANY_KEYS, times)), min_size=1, max_size=3))
    batches, flattener = flatten(*texts)
    assert flattener.counts["read_leniently"] == 0
    rows = [row | {"extra": parse_extra(row)} for row in batches.unified.to_pylist()]
    assert (rows, batches.raw.to_pylist()) == read_leniently(texts)


@pytest.mark.parametrize("other", [{"score": "12"}, {"id": 5}, {"due_at": "2026-01-01"}, {"user": {}}])
def test_a_record_does_not_change_the_rows_of_the_others_in_its_page(other):
    records = [MINIMAL | {"id": f"e{number}", "x": number, "due_at": "2026-01-01T00:00:00Z"} for number in range(3)]
    expected, _ = flatten(*records)
    among, _ = flatten(records[0], MINIMAL | {"id": "other"} | other, *records[1:])
    rows = among.unified.to_pylist()
    assert [rows[0], *rows[-2:]] == expected.unified.to_pylist()


@pytest.mark.parametrize(
    "key",
    [
        *("", "a.b", "clé", "日本", "'", "[0]", "undocumented_0", "__class__", "user id", "x" * 500),
        *('say "x"', "back\\slash", "line\nbreak", "\x00"),
    ],
)
def test_an_undocumented_key_is_kept_in_extra(key):
    batches, flattener = flatten(MINIMAL | {key: 1}, MINIMAL | {key: [2]}, MINIMAL)
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == [{key: 1}, {key: [2]}, {}]
    assert flattener.counts["read_leniently"] == 0


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


def test_only_the_record_with_an_unreadable_value_is_read_leniently():
    batches, flattener = flatten(MINIMAL | {"score": "good", "x": 1}, MINIMAL | {"x": 2})
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == [{"score": "good", "x": 1}, {"x": 2}]
    assert flattener.counts["read_leniently"] == 1


def test_extra_is_null_without_undocumented_keys():
    assert flatten_row_with()["extra"] is None


def test_extra_keeps_the_json_of_a_value_as_received():
    batches, _ = flatten('{"id":"e1","user":{"id":"u1"},"course":{"id":"c1"},"x": {"n": 1.0,  "s": "\\u00e9"} }')
    assert batches.unified.column("extra").to_pylist() == ['{"x":{"n": 1.0,  "s": "\\u00e9"}}']


def test_new_undocumented_keys_in_each_record_are_not_lost_and_not_read_leniently():
    records = [{f"key{number}_{index}": index for index in range(100)} for number in range(5)]
    batches, flattener = flatten(*(MINIMAL | record for record in records))
    assert [parse_extra(row) for row in batches.unified.to_pylist()] == records
    assert flattener.counts["read_leniently"] == 0
