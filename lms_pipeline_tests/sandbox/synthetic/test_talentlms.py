"""The synthetic account that demands the pair, as a client sees it."""

from __future__ import annotations

import html
from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.sandbox import Clock, generated_world, running
from lms_pipeline.sandbox.synthetic.talentlms import write_duration, write_text
from lms_pipeline.sandbox.synthetic.world import TALENTLMS_ID
from lms_pipeline_tests.support.sandbox import fetch_all, open_client

SPRING = datetime(2026, 4, 15, tzinfo=UTC)
ACCOUNT = {"integrated_account_id": TALENTLMS_ID}
PROGRESS = {
    "role": str,
    "enrolled_on": str,
    "enrolled_on_timestamp": str,
    "completed_on": str,
    "completed_on_timestamp": str | None,
    "completion_percentage": str,
    "expired_on": str,
    "expired_on_timestamp": str | None,
    "total_time": str | None,
}
"""What a learner in a course has everywhere, by the example bodies of TalentLMS's API."""
NAMED = {"id": str, "name": str}
CODES = {"completed", "incomplete", "not_attempted", "failed"}


@pytest.fixture(scope="module")
def client():
    world = generated_world(accounts=[TALENTLMS_ID])
    with running(world, clock=Clock(SPRING)) as sandbox, open_client(sandbox) as client:
        yield client


def read_details(client, kind: str, roster: str):
    """The roster of every user or course, by id."""
    listed = fetch_all(client, f"/unified/lms/{kind}", **ACCOUNT)
    assert not any(roster in one["remote_data"] for one in listed)
    details = [client.get(f"/unified/lms/{kind}/{one['id']}", params=ACCOUNT).json() for one in listed]
    return {one["id"]: one["remote_data"][roster] for one in details}


@pytest.fixture(scope="module")
def rosters(client):
    return read_details(client, "courses", "users")


@pytest.fixture(scope="module")
def courses_of_users(client):
    return read_details(client, "users", "courses")


@pytest.fixture(scope="module")
def entries(rosters):
    return [entry for roster in rosters.values() for entry in roster]


def get_pair(client, user_id: str, course_id: str):
    pair = {"user[id]": user_id, "course[id]": course_id}
    return client.get("/unified/lms/course-enrollments", params=ACCOUNT | pair)


def assert_shape(entry, shape):
    assert set(entry) == set(shape)
    assert all(isinstance(entry[name], kind) for name, kind in shape.items())


def test_entries_have_the_shapes_of_the_examples(entries, courses_of_users):
    assert len(entries) > 500
    for entry in entries:
        assert_shape(entry, NAMED | PROGRESS)
    for entry in (entry for courses in courses_of_users.values() for entry in courses):
        assert_shape(entry, NAMED | PROGRESS | {"completion_status": str})
        assert entry["completion_status"] in CODES


def test_a_pair_has_the_shape_of_the_examples_and_agrees_with_its_roster(client, rosters):
    pairs = [(course_id, entry) for course_id, roster in rosters.items() for entry in roster]
    for course_id, entry in pairs[::9]:
        page = get_pair(client, entry["id"], course_id).json()
        [record] = page["result"]
        status = record["remote_data"]
        assert page["next_cursor"] is None
        assert_shape(status, PROGRESS | {"completion_status": str})
        assert status.items() >= {name: entry[name] for name in PROGRESS}.items()
        assert record["progress_percent"] == int(entry["completion_percentage"])
        assert (record["user"], record["course"]) == ({"id": entry["id"]}, {"id": course_id})
        assert ("completed_at" in record) == (status["completion_status"] == "Completed")


def test_the_rosters_of_users_and_of_courses_have_the_same_pairs_once(rosters, courses_of_users):
    by_course = Counter((entry["id"], course_id) for course_id, roster in rosters.items() for entry in roster)
    by_user = Counter((user_id, one["id"]) for user_id, courses in courses_of_users.items() for one in courses)
    assert by_course == by_user
    assert set(by_course.values()) == {1}


def test_who_is_not_on_the_roster_is_not_enrolled(client, rosters, courses_of_users):
    course_id, roster = next(iter(rosters.items()))
    outsider = next(iter(set(courses_of_users) - {entry["id"] for entry in roster}))
    for user_id in (outsider, "99999"):
        assert get_pair(client, user_id, course_id).status_code == 404


def test_text_dates_are_local_and_timestamps_are_true(entries):
    athens = ZoneInfo("Europe/Athens")
    for entry in entries:
        instant = datetime.fromtimestamp(int(entry["enrolled_on_timestamp"]), athens)
        assert entry["enrolled_on"] == instant.strftime("%d/%m/%Y, %H:%M:%S")


def test_nothing_is_an_empty_text_date_and_a_null_timestamp(entries):
    for entry in entries:
        assert (entry["completed_on"] == "") == (entry["completed_on_timestamp"] is None)
        assert (entry["expired_on"] == "") == (entry["expired_on_timestamp"] is None)
    assert any(entry["completed_on"] == "" for entry in entries)
    assert any(entry["total_time"] is None for entry in entries)


def test_rosters_have_instructors_and_learners_whose_access_has_expired(entries):
    roles = Counter(entry["role"] for entry in entries)
    assert 0 < roles["instructor"] < roles["learner"] / 20
    expired = [entry for entry in entries if entry["expired_on"]]
    assert expired
    assert all(int(entry["expired_on_timestamp"]) <= SPRING.timestamp() for entry in expired)
    assert {entry["completed_on"] for entry in expired} == {""}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, None), (17, "17s"), (197, "3m 17s"), (3600, "1h 0m 0s"), (7505, "2h 5m 5s")]
)
def test_durations_are_written_as_in_the_examples(seconds, text):
    assert write_duration(seconds) == text


def test_names_and_titles_are_written_with_entities(courses_of_users, entries):
    written = write_text("D'Angelo & O'Brien")
    assert written == "D&#039;Angelo &amp; O&#039;Brien"
    assert html.unescape(written) == "D'Angelo & O'Brien"
    assert any("&#039;" in entry["name"] for entry in entries)
    assert any("&amp;" in entry["name"] for courses in courses_of_users.values() for entry in courses)
