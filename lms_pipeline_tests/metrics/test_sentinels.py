"""Counting the dates that meant "no date" when an enrollment was read, from what it keeps of them."""

import pytest

from lms_pipeline.metrics.sentinels import count_sentinel_dates
from lms_pipeline.transform.rosters import read_roster_entry
from lms_pipeline_tests.support.served_records import flatten_row_with


@pytest.mark.parametrize(
    ("extra", "count"),
    [
        ('{"completed_at":"1970-01-01"}', 1),
        ('{"completed_at":"0001-01-01T00:00:00+05:00","due_at":"1980-01-01T00:00:00+02:00"}', 2),
        ('{"completed_at":"0000-00-00","due_at":"yesterday","started_at":0,"updated_at":null}', 0),
        ('{"user.hired_at":"1970-01-01","birthday":"1969-07-20","hired_at":"1970-01-01"}', 0),
        ('{"completed_on_timestamp":"1","enrolled_on_timestamp":-62135596800}', 2),
        ('{"completed_on_timestamp":0,"enrolled_on_timestamp":"soon"}', 0),
        ("{}", 0),
        ("[]", 0),
        ("5", 0),
        ("no JSON", 0),
    ],
)
def test_the_timestamps_before_1980_in_extra_are_counted(extra, count):
    assert count_sentinel_dates(extra) == count


def test_what_a_record_keeps_is_counted():
    row = flatten_row_with(completed_at="1899-12-30T00:00:00", due_at="1900-01-01", score="n/a", updated_at="never")
    assert count_sentinel_dates(row["extra"]) == 2


def test_what_a_roster_entry_keeps_is_counted():
    row = read_roster_entry(b'{"enrolled_on_timestamp":"-2208988800","completed_on_timestamp":"1","role":"learner"}')
    assert count_sentinel_dates(row.extra or "") == 2
