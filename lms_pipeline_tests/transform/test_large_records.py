"""Records and values that are too large: each is kept in part or beside its column, counted, and never decoded whole."""

import json

import pytest

from lms_pipeline.transform.raw_format import build_raw_list_batches
from lms_pipeline.transform.rosters import read_roster_response
from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline.truto.response import read_raw_page
from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    build_response,
    flatten,
    flatten_row_with,
    parse_extra,
    read_records,
)

LARGEST = 8 * 2**20
"""Bytes of the largest record that is read."""
LONGEST = 10_000
"""Characters of the longest text with a column."""


def build_record(size, fill="x", **fields):
    """Return the JSON of an enrollment of `size` bytes, which a raw payload fills."""
    start = json.dumps(MINIMAL | fields)[:-1] + ', "remote_data": {"text": "'
    filling = size - len(start.encode()) - len('"}}')
    text = start + fill * (filling // len(fill.encode())) + "x" * (filling % len(fill.encode())) + '"}}'
    assert len(text.encode()) == size
    return text


def test_the_largest_record_is_read():
    batches, _ = flatten(build_record(LARGEST))
    assert (batches.unified.num_rows, batches.raw.num_rows, batches.rejected.num_rows) == (1, 1, 0)


@pytest.mark.parametrize("fill", ["x", "\u00e9", "\U0001f44d"])
def test_a_larger_one_is_rejected_with_the_begin_of_its_payload(fill):
    record = build_record(LARGEST + 1, fill)
    batches, _ = flatten(MINIMAL | {"id": "e0"}, record)
    assert (batches.unified.num_rows, batches.raw.num_rows) == (1, 0)
    (row,) = batches.rejected.to_pylist()
    payload = row.pop("payload")
    assert row == {"reason": "the record is larger than 8 MB", "field": None, "fetched_at": NOON}
    assert record.startswith(payload)
    assert 64 * 1024 - 3 <= len(payload.encode()) <= 64 * 1024


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_a_larger_user_or_course_is_counted_as_rejected(name):
    flattener = ListFlattener(name)
    rows = flattener.flatten([build_response({"id": "a"}, {"id": "b", "bio": "x" * LARGEST})])
    assert (rows.num_rows, flattener.counts["rejected"]) == (1, 1)


def test_a_larger_roster_entry_is_unusable():
    roster = {"remote_data": {"users": [{"id": 1}, {"id": 2, "text": "x" * LARGEST}]}}
    (record,) = read_records(roster)
    response = read_roster_response(record, "users", "c1")
    assert response is not None
    assert ([entry.user_id for entry in response.entries], response.unusable) == (["1"], 1)


def test_a_larger_raw_record_is_left_out_of_the_raw_list():
    page = read_raw_page(json.dumps([{"id": "e1"}, {"id": "e2", "text": "x" * LARGEST}]).encode(), NOON)
    batches = build_raw_list_batches(page.records, NOON)
    assert (batches.raw.num_rows, batches.roles.num_rows) == (1, 1)


@pytest.mark.parametrize("more", [{}, {"undocumented": 1}, {"score": "5"}], ids=["strict", "undocumented", "lenient"])
@pytest.mark.parametrize(
    ("column", "path", "build"),
    [
        ("status_raw", "status", lambda text: {"status": text}),
        ("user_name", "user.name", lambda text: {"user": {"id": "u1", "name": text}}),
        ("course_title", "course.title", lambda text: {"course": {"id": "c1", "title": text}}),
        ("user_email", "user.emails[0].email", lambda text: {"user": {"id": "u1", "emails": [{"email": text}]}}),
        ("assigned_by_name", "assigned_by.name", lambda text: {"assigned_by": {"id": "a", "name": text}}),
        ("assigned_by_id", "assigned_by.id", lambda text: {"assigned_by": {"id": text}}),
    ],
)
class TestText:
    def test_fills_its_column_up_to_the_limit(self, column, path, build, more):
        assert flatten_row_with(**build("x" * LONGEST), **more)[column] == "x" * LONGEST

    def test_that_is_longer_is_kept_in_extra(self, column, path, build, more):
        text = "x" * (LONGEST + 1)
        row = flatten_row_with(**build(text), **more)
        assert (row[column], parse_extra(row)[path]) == (None, text)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (MINIMAL | {"id": "x" * (LONGEST + 1)}, "id"),
        (MINIMAL | {"user": {"id": "x" * (LONGEST + 1)}}, "user.id"),
        (MINIMAL | {"course": {"id": "x" * (LONGEST + 1)}}, "course.id"),
    ],
)
def test_a_record_whose_id_is_longer_is_rejected(record, field):
    batches, _ = flatten(record)
    (row,) = batches.rejected.to_pylist()
    assert (row["field"], row["reason"]) == (field, f"{field} is longer than 10,000 characters")


@pytest.mark.parametrize("more", [{}, {"undocumented": 1}], ids=["strict", "undocumented"])
@pytest.mark.parametrize(("number", "is_kept"), [(1_000, True), (1_001, False)])
def test_an_array_with_more_items_is_kept_in_extra(number, is_kept, more):
    emails = [{"email": f"{position}@example.org"} for position in range(number)]
    row = flatten_row_with(user={"id": "u1", "emails": emails}, **more)
    assert (row["user_emails"] is not None) is is_kept
    assert parse_extra(row).get("user.emails") == (None if is_kept else emails)


@pytest.mark.parametrize(("length", "is_kept"), [(LONGEST, True), (LONGEST + 1, False)])
def test_a_longer_role_is_none(length, is_kept):
    row = flatten_row_with(remote_data={"role": "x" * length})
    assert (row["role"] is not None) is is_kept


def test_a_longer_name_of_a_learner_is_kept_in_extra():
    name = "x" * (LONGEST + 1)
    flattener = ListFlattener("learners")
    (row,) = flattener.flatten([build_response({"id": "u1", "name": name, "first_name": "Ada"})]).to_pylist()
    assert (row["user_name"], parse_extra(row)["name"], flattener.counts["unreadable_name"]) == ("Ada", name, 1)
