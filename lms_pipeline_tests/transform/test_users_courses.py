"""The users and courses lists: who is who, and what a course is called."""

import pytest

from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline_tests.support.served_records import NOON, parse_extra, read_records


def listed(name, *records):
    """The rows of a page of a list, and the flattener that made them."""
    flattener = ListFlattener(name)
    return flattener.flatten(read_records(*records), NOON).to_pylist(), flattener


def learner(**fields):
    ((row,), _) = listed("learners", {"id": "u1"} | fields)
    return row


def course(**fields):
    ((row,), _) = listed("courses", {"id": "c1"} | fields)
    return row


def test_a_learner_is_flattened():
    told = learner(
        name="Ada Byron",
        emails=[{"email": "ada@example.org", "is_primary": True, "type": "work"}],
        status="Active",
        created_at="2026-01-02T03:04:05Z",
        remote_data={"secret": 1},
        team="red",
    )
    assert told == {
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
    told = course(
        title="Fire safety", name="FS-1", status="published", updated_at="2026-03-01T12:00:00Z", code=7
    )
    assert told == {
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
def test_a_learner_is_called_by_the_full_name_else_by_its_parts(fields, name):
    assert learner(**fields)["user_name"] == name


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
def test_a_course_is_called_by_its_title_else_by_its_name(fields, title):
    assert course(**fields)["course_title"] == title


@pytest.mark.parametrize(("name", "column"), [("learners", "user_id"), ("courses", "course_id")])
def test_a_number_is_an_id_here_too(name, column):
    ((row,), _) = listed(name, {"id": 7})
    assert row[column] == "7"


@pytest.mark.parametrize("name", ["learners", "courses"])
@pytest.mark.parametrize("record", ["{}", '{"id":null}', '{"id":""}', '{"id":1.5}', "[]", "null"])
def test_a_record_without_a_usable_id_is_left_out_and_counted(name, record):
    rows, flattener = listed(name, record, {"id": "x"})
    assert (len(rows), flattener.counts["rejected"]) == (1, 1)


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_an_empty_list_is_a_batch_of_no_rows(name):
    assert listed(name)[0] == []


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_an_unreadable_value_is_kept_in_extra_and_counted(name):
    ((row,), flattener) = listed(name, {"id": "x", "created_at": "long ago"})
    assert (row["created_at"], parse_extra(row)) == (None, {"created_at": "long ago"})
    assert flattener.counts["unreadable_created_at"] == 1


@pytest.mark.parametrize("name", ["learners", "courses"])
def test_rows_stand_in_the_order_served(name):
    rows, _ = listed(name, {"id": "b"}, {"id": 1}, {"id": "a"})
    assert [next(iter(row.values())) for row in rows] == ["b", "1", "a"]
