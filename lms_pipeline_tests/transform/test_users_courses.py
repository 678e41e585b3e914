"""The users and courses lists: names, e-mails and titles."""

import pytest

from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline_tests.support.served_records import NOON, build_response, parse_extra


def flatten_list(name, *records):
    """Return the rows of one page of a list, and the flattener that built them."""
    flattener = ListFlattener(name)
    return flattener.flatten([build_response(*records)]).to_pylist(), flattener


def flatten_learner(**fields):
    ((row,), _) = flatten_list("learners", {"id": "u1"} | fields)
    return row


def flatten_course(**fields):
    ((row,), _) = flatten_list("courses", {"id": "c1"} | fields)
    return row


def test_a_learner_is_flattened():
    row = flatten_learner(
        name="Ada Byron",
        emails=[{"email": "ada@example.org", "is_primary": True, "type": "work"}],
        status="Active",
        created_at="2026-01-02T03:04:05Z",
        remote_data={"secret": 1},
        team="red",
    )
    assert row == {
        "user_id": "u1",
        "user_name": "Ada Byron",
        "user_email": "ada@example.org",
        "user_emails": [{"email": "ada@example.org", "is_primary": True, "type": "work"}],
        "status": "Active",
        "created_at": NOON.replace(month=1, day=2, hour=3, minute=4, second=5),
        "updated_at": None,
        "extra": '{"team":"red"}',
        "fetched_at": NOON,
    }


def test_a_course_is_flattened():
    row = flatten_course(
        title="Fire safety", name="FS-1", status="published", updated_at="2026-03-01T12:00:00Z", code=7
    )
    assert row == {
        "course_id": "c1",
        "course_title": "Fire safety",
        "status": "published",
        "created_at": None,
        "updated_at": NOON,
        "extra": '{"code":7}',
        "fetched_at": NOON,
    }


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": "Ada Byron", "first_name": "Augusta"}, "Ada Byron"),
        ({"first_name": "Ada", "last_name": "Byron"}, "Ada Byron"),
        ({"last_name": "Byron"}, "Byron"),
        ({"name": "", "first_name": "Ada"}, "Ada"),
        ({"name": " ", "first_name": "Ada", "last_name": "Byron"}, "Ada Byron"),
        ({"name": None, "first_name": " ", "last_name": "Byron"}, "Byron"),
        ({"first_name": "", "last_name": " "}, None),
        ({}, None),
    ],
)
def test_a_learner_has_the_full_name_or_its_parts(fields, name):
    assert flatten_learner(**fields)["user_name"] == name


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"title": "Fire safety", "name": "FS-1"}, "Fire safety"),
        ({"name": "FS-1"}, "FS-1"),
        ({"title": "", "name": "FS-1"}, "FS-1"),
        ({"title": " \t", "name": "FS-1"}, "FS-1"),
        ({"title": " ", "name": ""}, None),
        ({}, None),
    ],
)
def test_a_course_has_its_title_or_its_name(fields, title):
    assert flatten_course(**fields)["course_title"] == title


@pytest.mark.parametrize(("name", "column"), [("learners", "user_id"), ("courses", "course_id")])
def test_a_numeric_id_becomes_a_string(name, column):
    ((row,), _) = flatten_list(name, {"id": 7})
    assert row[column] == "7"


@pytest.mark.parametrize("name", ["learners", "courses"])
@pytest.mark.parametrize("record", ["{}", '{"id":null}', '{"id":""}', '{"id":1.5}', "[]", "null"])
def test_a_record_without_a_usable_id_is_left_out_and_counted(name, record):
    rows, flattener = flatten_list(name, record, {"id": "x"})
    assert (len(rows), flattener.counts["rejected"]) == (1, 1)


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_an_empty_list_is_a_batch_without_rows(name):
    assert flatten_list(name)[0] == []


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_an_unreadable_value_is_kept_in_extra_and_counted(name):
    ((row,), flattener) = flatten_list(name, {"id": "x", "created_at": "long ago"})
    assert (row["created_at"], parse_extra(row)) == (None, {"created_at": "long ago"})
    assert flattener.counts["unreadable_created_at"] == 1


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_rows_are_in_the_order_served(name):
    rows, _ = flatten_list(name, {"id": "b"}, {"id": 1}, {"id": "a"})
    assert [next(iter(row.values())) for row in rows] == ["b", "1", "a"]
