"""What the details of courses and users tell of enrollments, as TalentLMS writes them."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from lms_pipeline.transform.rosters import (
    RosterEntry,
    build_roster_batch,
    read_roster_entry,
    read_roster_response,
)

NOON = 1_772_366_400  # 2026-03-01 12:00 UTC
AT_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def detail(**told) -> bytes:
    return json.dumps({"id": "1", "role": "learner", **told}).encode()


def record(remote_data) -> msgspec.Raw:
    return msgspec.Raw(json.dumps({"id": "7", "remote_data": remote_data}).encode())


class TestEntries:
    def test_of_a_course_are_its_users(self):
        listed = read_roster_response(record({"users": [{"id": "1"}, {"id": 2}]}), "users", "7")
        assert listed is not None
        assert [(one.user_id, one.course_id) for one in listed.entries] == [("1", "7"), ("2", "7")]

    def test_of_a_user_are_the_courses(self):
        listed = read_roster_response(record({"courses": [{"id": "1"}]}), "courses", "7")
        assert listed is not None
        assert listed.entries == [RosterEntry("7", "1", b'{"id": "1"}')]

    def test_without_a_usable_id_are_counted(self):
        listed = read_roster_response(
            record({"users": [{}, {"id": None}, {"id": ""}, {"id": {}}, 5, {"id": 1}]}), "users", "7"
        )
        assert listed is not None
        assert (len(listed.entries), listed.unusable) == (1, 5)

    def test_can_be_none_where_there_is_a_list(self):
        assert read_roster_response(record({"users": []}), "users", "7") == ([], 0)

    @pytest.mark.parametrize(
        "remote_data", [None, 5, [], {}, {"users": None}, {"users": {}}, {"courses": []}]
    )
    def test_are_not_told_where_there_is_no_list(self, remote_data):
        assert read_roster_response(record(remote_data), "users", "7") is None


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, "enrolled"),
        ({"completed_on_timestamp": str(NOON)}, "completed"),
        ({"completed_on_timestamp": NOON, "expired_on_timestamp": NOON}, "completed"),
        ({"completed_on": "01/03/2026, 12:00:00"}, "completed"),
        ({"completed_on": "", "completed_on_timestamp": None}, "enrolled"),
        ({"completed_on_timestamp": "0"}, "enrolled"),
        ({"expired_on_timestamp": str(NOON), "completion_status": "failed"}, "expired"),
        ({"expired_on": "01/03/2026, 12:00:00"}, "expired"),
        ({"completion_status": "failed", "completion_percentage": "40"}, "failed"),
        ({"completion_status": "incomplete"}, "in_progress"),
        ({"completion_status": "Not attempted", "completion_percentage": "40"}, "enrolled"),
        ({"completion_status": "passed"}, "unknown"),
        ({"completion_percentage": "1"}, "in_progress"),
        ({"completion_percentage": "0"}, "enrolled"),
        ({"total_time": "1s"}, "in_progress"),
        ({"total_time": None, "total_time_seconds": 3}, "in_progress"),
    ],
)
def test_the_status_of_an_entry_is_the_first_that_fits(told, status):
    assert read_roster_entry(detail(**told)).status == status


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"total_time": "1h 2m 3s"}, 3_723),
        ({"total_time": "2m 3s"}, 123),
        ({"total_time": "45s"}, 45),
        ({"total_time": "1h"}, 3_600),
        ({"total_time": "", "total_time_seconds": "90"}, 90),
        ({"total_time": "1m", "total_time_seconds": 61}, 61),
        ({"total_time": ""}, None),
        ({"total_time": "soon"}, None),
        ({"total_time": f"{'9' * 40}h"}, None),
        ({"total_time_seconds": 1e300}, None),
        ({"total_time_seconds": -5}, None),
    ],
)
def test_the_time_of_an_entry_is_in_seconds(told, seconds):
    assert read_roster_entry(detail(**told)).seconds == seconds


def test_an_entry_becomes_a_row_that_says_where_it_comes_from():
    told = detail(
        completion_percentage="40", enrolled_on_timestamp=str(NOON), total_time="1m 0s", role="instructor"
    )
    [row] = build_roster_batch([RosterEntry("1", "7", told)], [AT_NOON]).to_pylist()
    assert {name: value for name, value in row.items() if value not in {None, ()} and value != []} == {
        "user_id": "1",
        "course_id": "7",
        "status": "in_progress",
        "progress_percent": 40.0,
        "enrolled_at": AT_NOON,
        "time_spent_seconds": 60,
        "role": "instructor",
        "source": "roster",
        "fetched_at": AT_NOON,
    }


def test_entries_that_are_odd_in_every_way_become_rows():
    odd = [
        b"{}",
        b'{"completed_on_timestamp":1e99,"role":{},"total_time":[],"completion_percentage":"x"}',
    ]
    rows = build_roster_batch(
        [RosterEntry("1", str(number), one) for number, one in enumerate(odd)], [AT_NOON] * len(odd)
    )
    assert rows.column("status").to_pylist() == ["enrolled"] * len(odd)
