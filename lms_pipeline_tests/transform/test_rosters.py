"""TalentLMS's rosters: entries in the responses about courses and users, and the rows of these entries."""

import json
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from lms_pipeline.transform.rosters import RosterEntry, build_roster_batch, read_roster_entry, read_roster_response

NOON = 1_772_366_400  # 2026-03-01 12:00 UTC
AT_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def encode_entry(**fields) -> bytes:
    return json.dumps({"id": "1", "role": "learner", **fields}).encode()


def encode_record(remote_data) -> msgspec.Raw:
    return msgspec.Raw(json.dumps({"id": "7", "remote_data": remote_data}).encode())


class TestReadRosterResponse:
    def test_the_entries_of_a_course_are_its_users(self):
        response = read_roster_response(encode_record({"users": [{"id": "1"}, {"id": 2}]}), "users", "7")
        assert response is not None
        assert [(item.user_id, item.course_id) for item in response.entries] == [("1", "7"), ("2", "7")]

    def test_the_entries_of_a_user_are_the_courses(self):
        response = read_roster_response(encode_record({"courses": [{"id": "1"}]}), "courses", "7")
        assert response is not None
        assert response.entries == [RosterEntry("7", "1", b'{"id": "1"}')]

    def test_entries_without_a_usable_id_are_counted(self):
        response = read_roster_response(
            encode_record({"users": [{}, {"id": None}, {"id": ""}, {"id": {}}, 5, {"id": 1}]}), "users", "7"
        )
        assert response is not None
        assert (len(response.entries), response.unusable) == (1, 5)

    def test_an_empty_list_is_an_empty_response(self):
        assert read_roster_response(encode_record({"users": []}), "users", "7") == ([], 0)

    @pytest.mark.parametrize("remote_data", [None, 5, [], {}, {"users": None}, {"users": {}}, {"courses": []}])
    def test_a_record_without_a_list_is_none(self, remote_data):
        assert read_roster_response(encode_record(remote_data), "users", "7") is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "enrolled"),
        ({"completed_on_timestamp": str(NOON)}, "completed"),
        ({"completed_on_timestamp": NOON, "expired_on_timestamp": NOON}, "completed"),
        ({"completed_on": "01/03/2026, 12:00:00"}, "completed"),
        ({"completed_on": "", "completed_on_timestamp": None}, "enrolled"),
        ({"completed_on_timestamp": "0"}, "enrolled"),
        ({"completed_on_timestamp": "1"}, "enrolled"),
        ({"completed_on_timestamp": -62135596800, "completed_on": "01/01/0001, 00:00:00"}, "enrolled"),
        ({"completed_on": "01/01/1970, 00:00:00"}, "enrolled"),
        ({"completed_on": "0000-00-00 00:00:00"}, "enrolled"),
        ({"completed_on": "1980-01-01"}, "completed"),
        ({"expired_on_timestamp": 1, "expired_on": "31/12/1969, 19:00:00"}, "enrolled"),
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
def test_the_first_field_that_fits_gives_the_status_of_an_entry(fields, status):
    assert read_roster_entry(encode_entry(**fields)).status == status


@pytest.mark.parametrize(
    ("fields", "seconds"),
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
        ({"total_time": f"{'9' * 5_000}h"}, None),
        ({"total_time": "1m", "total_time_seconds": "soon"}, 60),
        ({"total_time_seconds": 1e300}, None),
        ({"total_time_seconds": -5}, None),
    ],
)
def test_the_time_of_an_entry_is_in_seconds(fields, seconds):
    assert read_roster_entry(encode_entry(**fields)).time_spent_seconds == seconds


def test_the_row_of_an_entry_has_the_source_roster():
    fields = encode_entry(
        completion_percentage="40", enrolled_on_timestamp=str(NOON), total_time="1m 0s", role="instructor"
    )
    [row] = build_roster_batch([RosterEntry("1", "7", fields)], [AT_NOON]).to_pylist()
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


def test_an_epoch_before_1980_is_no_date_and_stays_in_extra():
    fields = encode_entry(enrolled_on_timestamp="-2208988800", completed_on_timestamp=315532799.5, completed_on="")
    [row] = build_roster_batch([RosterEntry("1", "7", fields)], [AT_NOON]).to_pylist()
    assert (row["status"], row["enrolled_at"], row["completed_at"]) == ("enrolled", None, None)
    assert row["extra"] == '{"enrolled_on_timestamp":"-2208988800","completed_on_timestamp":315532799.5}'


@pytest.mark.parametrize(
    "text", [0, 0.0, "0", "-", "--", "N/A", "n/a", "Never", "null", "00/00/00", "00:00", "\u0660/\u0660/\u0660", " "]
)
@pytest.mark.parametrize("field", ["completed_on", "expired_on"])
def test_a_text_without_a_digit_above_0_is_no_date(field, text):
    assert read_roster_entry(encode_entry(**{field: text})).status == "enrolled"


@pytest.mark.parametrize(
    "text", ["01/03/26", "1 Mar", "20260301", "\u0660\u0661/\u0660\u0663/\u0662\u0660\u0662\u0666", 1_772_366_400]
)
@pytest.mark.parametrize(("field", "status"), [("completed_on", "completed"), ("expired_on", "expired")])
def test_a_text_with_a_digit_above_0_is_a_date(field, status, text):
    assert read_roster_entry(encode_entry(**{field: text})).status == status


@pytest.mark.parametrize(
    "value", ["1700000000000", 1_700_000_000_000, 1e99, "abc", "2026-03-01", True, [], {}, 253_402_300_800]
)
@pytest.mark.parametrize(
    ("field", "column"), [("enrolled_on_timestamp", "enrolled_at"), ("completed_on_timestamp", "completed_at")]
)
def test_an_unreadable_epoch_is_null_and_stays_in_extra(field, column, value):
    row = read_roster_entry(encode_entry(**{field: value}, completion_percentage=40))
    assert (row.status, getattr(row, column)) == ("in_progress", None)
    assert json.loads(row.extra or "{}") == {field: value}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", {"name": "learner"}),
        ("completion_status", "passed"),
        ("completion_status", [1]),
        ("completion_percentage", "n/a"),
        ("completion_percentage", "1e999"),
        ("total_time", "2 hours"),
        ("total_time", {}),
        ("total_time_seconds", -5),
        ("total_time_seconds", "1h"),
    ],
)
def test_another_unreadable_value_stays_in_extra_and_is_counted(field, value):
    counts: Counter[str] = Counter()
    row = read_roster_entry(encode_entry(**{field: value}), counts)
    assert json.loads(row.extra or "{}") == {field: value}
    assert counts == {f"unreadable_{field}": 1}


def test_values_that_say_nothing_are_not_counted():
    counts: Counter[str] = Counter()
    blank = dict.fromkeys(("role", "completion_status", "completion_percentage", "total_time_seconds"), "")
    row = read_roster_entry(encode_entry(**blank, total_time="-", enrolled_on_timestamp=None), counts)
    assert (row.extra, counts) == (None, {})


def test_an_epoch_before_1980_is_counted_as_no_date():
    counts: Counter[str] = Counter()
    read_roster_entry(encode_entry(enrolled_on_timestamp="-2208988800"), counts)
    assert counts == {"sentinel_enrolled_on_timestamp": 1}


@pytest.mark.parametrize("value", [None, "", " ", 0, "0", "0.0"])
def test_an_epoch_that_is_blank_or_0_leaves_no_trace(value):
    assert read_roster_entry(encode_entry(completed_on_timestamp=value, enrolled_on_timestamp=value)).extra is None


def test_the_first_epoch_of_1980_is_a_date():
    [row] = build_roster_batch(
        [RosterEntry("1", "7", encode_entry(completed_on_timestamp=315532800))], [AT_NOON]
    ).to_pylist()
    assert (row["status"], row["completed_at"], row["extra"]) == ("completed", datetime(1980, 1, 1, tzinfo=UTC), None)


def test_unreadable_entries_become_rows():
    payloads = [b"{}", b'{"completed_on_timestamp":1e99,"role":{},"total_time":[],"completion_percentage":"x"}']
    rows = build_roster_batch(
        [RosterEntry("1", str(number), item) for number, item in enumerate(payloads)], [AT_NOON] * len(payloads)
    )
    assert rows.column("status").to_pylist() == ["enrolled"] * len(payloads)
