"""The generated account that demands the pair, as a client meets it."""

from __future__ import annotations

import html
from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.sandbox.clock import Clock
from lms_pipeline.sandbox.server import running
from lms_pipeline.sandbox.synthetic import portal_values
from lms_pipeline.sandbox.synthetic.profiles import TALENTLMS_ID
from lms_pipeline.sandbox.synthetic.world import generated_world
from lms_pipeline_tests.sandbox.worlds import client_of, sweep

SPRING = datetime(2026, 4, 15, tzinfo=UTC)
ACCOUNT = {"integrated_account_id": TALENTLMS_ID}
ROSTER_ENTRY = {
    "id": str,
    "name": str,
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


@pytest.fixture(scope="module")
def client():
    world = generated_world(accounts=[TALENTLMS_ID])
    with running(world, clock=Clock(SPRING)) as sandbox, client_of(sandbox) as client:
        yield client


@pytest.fixture(scope="module")
def rosters(client):
    """The roster of every course, by the course's id."""
    courses = sweep(client, "/unified/lms/courses", **ACCOUNT)
    return {
        course["id"]: client.get(f"/unified/lms/courses/{course['id']}", params=ACCOUNT).json()[
            "remote_data"
        ]["users"]
        for course in courses
    }


def pair(client, user_id: str, course_id: str):
    return client.get(
        "/unified/lms/course-enrollments", params=ACCOUNT | {"user[id]": user_id, "course[id]": course_id}
    )


def test_a_roster_entry_has_the_shape_of_the_examples(rosters):
    entries = [entry for roster in rosters.values() for entry in roster]
    assert len(entries) > 500
    for entry in entries:
        assert list(entry) == list(ROSTER_ENTRY)
        assert all(isinstance(entry[name], kind) for name, kind in ROSTER_ENTRY.items())


def test_nobody_stands_twice_on_a_roster(rosters):
    for roster in rosters.values():
        assert max(Counter(entry["id"] for entry in roster).values(), default=1) == 1


def test_every_pair_of_a_roster_is_answered_and_agrees_with_it(client, rosters):
    pairs = [(course_id, entry) for course_id, roster in rosters.items() for entry in roster]
    for course_id, entry in pairs[::9]:
        page = pair(client, entry["id"], course_id).json()
        [record] = page["result"]
        assert page["next_cursor"] is None
        told = record["remote_data"]
        assert (
            told.items() >= {key: value for key, value in entry.items() if key not in {"id", "name"}}.items()
        )
        assert record["progress_percent"] == int(entry["completion_percentage"])
        assert (record["user"], record["course"]) == ({"id": entry["id"]}, {"id": course_id})
        assert ("completed_at" in record) == (told["completion_status"] == "Completed")


def test_the_rosters_of_users_and_of_courses_tell_the_same_pairs(client, rosters):
    by_course = {(entry["id"], course_id) for course_id, roster in rosters.items() for entry in roster}
    by_user = set()
    for user in sweep(client, "/unified/lms/users", **ACCOUNT):
        assert "courses" not in user["remote_data"]
        told = client.get(f"/unified/lms/users/{user['id']}", params=ACCOUNT).json()
        entries = told["remote_data"]["courses"]
        assert {entry["completion_status"] for entry in entries} <= {
            "completed", "incomplete", "not_attempted", "failed",
        }  # fmt: skip
        by_user |= {(user["id"], entry["id"]) for entry in entries}
    assert by_user == by_course


def test_who_is_not_on_the_roster_is_not_enrolled(client, rosters):
    course_id, roster = next(iter(rosters.items()))
    enrolled = {entry["id"] for entry in roster}
    users = [user["id"] for user in sweep(client, "/unified/lms/users", **ACCOUNT)]
    outsider = next(user_id for user_id in users if user_id not in enrolled)
    for user_id in (outsider, "99999"):
        assert pair(client, user_id, course_id).status_code == 404


def test_text_dates_are_local_and_timestamps_are_true(rosters):
    athens = ZoneInfo("Europe/Athens")
    for roster in rosters.values():
        for entry in roster:
            instant = datetime.fromtimestamp(int(entry["enrolled_on_timestamp"]), athens)
            assert entry["enrolled_on"] == instant.strftime("%d/%m/%Y, %H:%M:%S")
            assert (entry["completed_on"] == "") == (entry["completed_on_timestamp"] is None)


def test_instructors_stand_on_rosters(rosters):
    roles = Counter(entry["role"] for roster in rosters.values() for entry in roster)
    assert 0 < roles["instructor"] < roles["learner"] / 20


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, None), (17, "17s"), (197, "3m 17s"), (3600, "1h 0m 0s"), (7505, "2h 5m 5s")]
)
def test_durations_are_written_as_in_the_examples(seconds, told):
    assert portal_values.duration(seconds) == told


def test_names_are_written_with_entities():
    told = portal_values.entities("D'Angelo & O'Brien")
    assert told == "D&#039;Angelo &amp; O&#039;Brien"
    assert html.unescape(told) == "D'Angelo & O'Brien"
