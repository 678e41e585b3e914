"""The forms of a date: each is the instant that it names, or null and kept in `extra`; none is shifted or dropped."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lms_pipeline.transform.columns import build_instants
from lms_pipeline.transform.timestamps import cast_timestamps
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    NOON,
    flatten,
    flatten_row_of_text,
    flatten_row_with,
    parse_extra,
)

TEN = "2026-11-20T10:00:00"
"""Ten o'clock in UTC."""


def read(text):
    """Return the instant and `extra` of a `due_at`, the one date that may be in the future."""
    row = flatten_row_with(due_at=text)
    return row["due_at"], parse_extra(row)


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ("2026-11-20", "2026-11-20T00:00:00"),
        ("2026-11-20Z", "2026-11-20T00:00:00"),
        ("2026-11-20z", "2026-11-20T00:00:00"),
        ("2026-11-20 Z", "2026-11-20T00:00:00"),
        ("2026-11-20UTC", "2026-11-20T00:00:00"),
        ("2026-11-20 GMT", "2026-11-20T00:00:00"),
        ("2026-11-20+00:00", "2026-11-20T00:00:00"),
        ("2026-11-20-00:00", "2026-11-20T00:00:00"),
        ("2026-11-20+02:00", "2026-11-19T22:00:00"),
        ("2026-11-20-05:00", "2026-11-20T05:00:00"),
        ("2026-11-20+14:00", "2026-11-19T10:00:00"),
        ("2026-11-20-12:00", "2026-11-20T12:00:00"),
        ("2026-11-20+05:45", "2026-11-19T18:15:00"),
        ("2026-11-20+0200", "2026-11-19T22:00:00"),
        ("2026-11-20+02", "2026-11-19T22:00:00"),
        ("2026-11-20 +02:00", "2026-11-19T22:00:00"),
        ("2026-11-20 -05:00", "2026-11-20T05:00:00"),
        ("2026-W47-5", "2026-11-20T00:00:00"),
        ("2026-W47-5+02:00", "2026-11-19T22:00:00"),
    ],
)
def test_a_date_with_a_zone_is_the_instant_at_which_it_begins_there(served, expected):
    assert read(served) == (datetime.fromisoformat(f"{expected}+00:00"), {})


@pytest.mark.parametrize(
    "served",
    [
        *("2026-11-20T10:00:00Z", "2026-11-20t10:00:00z", "2026-11-20 10:00:00Z", "2026-11-20T10:00:00 Z"),
        *("2026-11-20T10:00:00UTC", "2026-11-20T10:00:00 UTC", "2026-11-20 10:00:00 GMT"),
        *("2026-11-20T10", "2026-11-20T10:00", "2026-11-20T1000", "2026-11-20T100000", "2026-11-20T10:00:00,0"),
        *("2026-11-20T12:00:00+02:00", "2026-11-20T12:00:00+0200", "2026-11-20T12:00:00+02", "2026-11-20T12:00+02:00"),
        *("2026-11-20T12:00:00 +02:00", "2026-11-20 12:00:00 +0200", "2026-11-20T05:00:00-05"),
        "2026-11-20T12:00:30+02:00:30",
        *("20261120T100000Z", "20261120T1000Z", "20261120T120000+0200", "20261120T05:00:00-05:00", "2026-W47-5T10:00Z"),
        *("2026-11-20T11:00:00+01:00[Europe/Berlin]", "2026-11-20T10:00:00Z[UTC]", "2026-11-20T10:00:00Z[Etc/GMT+1]"),
        "2026-11-20T11:00:00+01:00[!Europe/Berlin]",
    ],
)
def test_a_date_time_is_the_same_instant_in_every_form(served):
    assert read(served) == (datetime.fromisoformat(f"{TEN}+00:00"), {})


@pytest.mark.parametrize(
    "served",
    [
        # an hour or an offset, nobody can say
        *("2026-11-20-05", "2026-11-20-0500", "2026-11-20 -05"),
        # a zone by name alone: an hour of autumn is two instants
        *("2026-11-20T10:00:00[Europe/Berlin]", "2026-11-20T10:00:00 Europe/Berlin", "2026-11-20 Europe/Berlin"),
        *("2026-11-20T10:00:00 EST", "2026-11-20T10:00:00 CET", "2026-11-20T10:00:00 UTC+2", "2026-11-20T10:00 BST"),
        "2026-11-20T10:00:00+01:00[Europe/Berlin][u-ca=hebrew]",
        # RFC 2822, and others that name the month
        *("Fri, 20 Nov 2026 10:00:00 +0000", "Fri, 20 Nov 2026 10:00:00 GMT", "20 Nov 2026", "Nov 20, 2026"),
        # a week, a month, a year, a day of the year
        *("2026-W47", "2026W475", "2026-11", "2026", "2026-324", "20261120"),
        # out of range
        *(
            "2026-02-30",
            "2026-11-20T24:00:00Z",
            "2026-11-20T23:59:60Z",
            "2026-11-20T10:60Z",
            "2026-W54-1",
            "2026-W47-8",
        ),
        *(
            "2026-11-20T10:00:00+24:00",
            "2026-11-20T10:00:00+02:60",
            "2026-11-20+99:00",
            "0000-00-00",
            "0000-00-00+02:00",
        ),
        # other separators, signs, digits
        *("2026-11-20x10:00", "2026-11-20_10:00:00", "2026-11-20, 10:00:00", "2026/11/20", "20.11.2026", "2026-11-20T"),
        *(
            "2026-11-20T10:00:00.",
            "2026-11-20T10:00:00.Z",
            "2026-11-20T10:00:00\u221202:00",
            "\uff12\uff10\uff12\uff16-11-20",
        ),
        *("+2026-11-20", "-2026-11-20", "2026-11-20T10:00:00+2", "2026-11-20T10:00 AM", "2026-11-20T10:00:00ZZ"),
    ],
)
def test_what_does_not_say_which_instant_it_is_stays_in_extra(served):
    _, flattener = flatten(MINIMAL | {"due_at": served})
    assert read(served) == (None, {"due_at": served})
    assert flattener.counts == {"read_leniently": 1, "unreadable_due_at": 1}


@pytest.mark.parametrize(
    "served",
    [
        "2026-11-20T23:59:59.9999999Z",
        "2026-11-20T23:59:59.9999995Z",
        "2026-11-20T23:59:59.999999999Z",
        "2026-11-20 23:59:59.9999999",
        "2026-11-20T23:59:59,9999999 UTC",
        "2026-11-21T01:59:59.9999999+02:00",
    ],
)
def test_the_last_instant_of_a_day_is_not_rounded_to_the_next_day(served):
    assert read(served) == (datetime(2026, 11, 20, 23, 59, 59, 999_999, UTC), {})


DATES = st.dates(date(1981, 1, 1), date(9998, 12, 31))
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)
"""In minutes."""


@st.composite
def forms(draw):
    """Draw a date in one of its forms, and the instant that it names, from numbers and not by parsing."""
    day = draw(DATES)
    year, week, weekday = day.isocalendar()
    day_text = draw(st.sampled_from([day.isoformat(), f"{year:04}-W{week:02}-{weekday}"]))
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC)
    has_time = draw(st.booleans())
    clock = ""
    if has_time:
        hour, minute, second = draw(st.integers(0, 23)), draw(st.integers(0, 59)), draw(st.integers(0, 59))
        instant += timedelta(hours=hour, minutes=minute, seconds=second)
        colon = draw(st.sampled_from([":", ""]))
        clock = f"{draw(st.sampled_from('Tt '))}{hour:02}{colon}{minute:02}{colon}{second:02}"
    zone = draw(st.sampled_from(["", "Z", " Z", "UTC", " UTC", " GMT", "z", "offset"]))
    if zone == "offset":
        minutes = draw(OFFSETS)
        instant -= timedelta(minutes=minutes)
        hours, minutes, sign = abs(minutes) // 60, abs(minutes) % 60, "-" if minutes < 0 else "+"
        zone = f"{draw(st.sampled_from(['', ' ']))}{sign}{hours:02}:{minutes:02}"
    return f"{day_text}{clock}{zone}", instant


@settings(max_examples=choose(80, 300), deadline=None)
@given(forms(), st.sampled_from(["", " ", "\n"]))
def test_every_form_is_the_instant_that_it_names(form, blank):
    text, instant = form
    assert read(f"{blank}{text}{blank}") == (instant, {})


DAY_FORMATS = ("%Y-%m-%d", "%G-W%V-%u", "%Y%m%d")
TIME_FORMATS = ("", *(f"T{time}" for time in ("%H", "%H:%M", "%H%M", "%H:%M:%S", "%H%M%S", "%H:%M:%S.%f", "%H%M%S.%f")))
ANY_PART = st.sampled_from(
    [*"0123456789-+:.,TtZzW []/", "2026", "-11", "-20", "T10", ":00", "+02", "-05", "UTC", "GMT", "[Europe/Berlin]"]
)


def strptime_all(text):
    """Return the instants that `strptime` reads in the text, with any of the formats of ISO 8601."""
    text = re.sub(r"\[.*\]$", "", text.strip()).strip().replace(",", ".").upper()
    text = re.sub(r"\s*(UTC|GMT|Z)$", "+0000", text)
    text = re.sub(r"\s*([+-]\d\d)$", r"\g<1>00", text) if "T" in text or "+" in text or " " in text else text
    text = re.sub(r"\s+(?=[+-])", "", text)
    text = re.sub(r"(?<=\d) (?=\d)", "T", text)
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    found = set()
    for day, clock, zone in product(DAY_FORMATS, TIME_FORMATS, ("", "%z")):
        try:
            instant = datetime.strptime(text, day + clock + zone)  # noqa: DTZ007 (in UTC without an offset)
        except ValueError:
            continue
        found.add(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    return found


@settings(max_examples=choose(130, 500), deadline=None)
@given(st.one_of(st.lists(ANY_PART, max_size=14).map("".join), st.text(max_size=30)))
@example("2026-11-20+02:00")
@example("2026-11-20-05:00")
@example("2026-11-20T10:00:00.9999999-05:00")
def test_any_text_is_an_instant_that_others_read_too_or_stays_in_extra(text):
    instant, extra = read(text)
    if instant is None:
        assert extra == ({"due_at": text} if text.strip() else {})
    else:
        assert instant in strptime_all(text)
        assert extra == {}


SENTINELS = [
    *(
        "0001-01-01",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "0001-01-01T00:00:00-05:00",
    ),
    *("1601-01-01T00:00:00Z", "1753-01-01T00:00:00", "1899-12-30", "1899-12-31T19:00:00-05:00", "1900-01-01 00:00:00"),
    *("1970-01-01T00:00:00Z", "1969-12-31T19:00:00-05:00", "1970-01-01T02:00:00+02:00", "1970-01-01+02:00"),
    *("1979-12-31T23:59:59.999999Z", "1979-12-31T23:59:59.9999999Z", "1980-01-01T01:59:59+02:00", "1980-01-01+00:01"),
    *("19700101T000000Z", "1970-W01-4", "1979-12-31T18:59:59-05:00"),
]


@pytest.mark.parametrize("served", SENTINELS)
def test_a_timestamp_before_1980_means_no_date_and_stays_in_extra(served):
    batches, flattener = flatten(MINIMAL | {"completed_at": served})
    [row] = batches.unified.to_pylist()
    assert (row["completed_at"], parse_extra(row)) == (None, {"completed_at": served})
    assert flattener.counts == {"read_leniently": 1, "sentinel_completed_at": 1}


@pytest.mark.parametrize(
    "served", ["1980-01-01", "1980-01-01T00:00:00Z", "1980-01-01T02:00:00+02:00", "1979-12-31T19:00:00-05:00"]
)
def test_1980_begins_with_a_date(served):
    assert flatten_row_with(completed_at=served)["completed_at"] == datetime(1980, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        *("assigned_at", "enrolled_at", "started_at", "completed_at", "due_at", "last_activity_at"),
        *("created_at", "updated_at"),
    ],
)
def test_no_date_is_read_in_every_timestamp(name):
    row = flatten_row_with(**{name: "0001-01-01T00:00:00Z"})
    assert (row[name], parse_extra(row)) == (None, {name: "0001-01-01T00:00:00Z"})


def test_the_sentinel_stays_as_received_beside_other_keys():
    row = flatten_row_of_text('"due_at": "1970-01-01", "score": "n/a", "born": "1969-07-20", "x": 1.0')
    assert json.loads(row["extra"]) == {"due_at": "1970-01-01", "score": "n/a", "born": "1969-07-20", "x": 1.0}


def test_a_field_that_is_no_timestamp_may_be_before_1980():
    row = flatten_row_with(custom_fields={"birthday": "1969-07-20"})
    assert row["custom_fields"] == '{"birthday": "1969-07-20"}'
    assert row["extra"] is None


class TestCast:
    """Timestamps of a whole page."""

    def test_with_time_and_offset_give_the_same_instants_as_python(self):
        texts = [
            *(
                "2026-11-20T05:00:00Z",
                "2026-11-20T05:00:00.120Z",
                "1980-01-01T00:00:00Z",
                "9999-12-31T23:59:59.999999Z",
            ),
            *("2026-11-20T05:00:00+00:00", "2026-11-20 05:00:00-05:30", "2026-11-20T05:00+0200", "2026-11-20T05Z"),
        ]
        columns = cast_timestamps([texts, [None] * 8, texts[::-1]])
        assert columns is not None
        instants = [datetime.fromisoformat(text) for text in texts]
        assert [column.to_pylist() for column in columns] == [instants, [None] * 8, instants[::-1]]

    @pytest.mark.parametrize("columns", [[], [[]], [[], []], [[None]]])
    def test_of_nothing_give_as_many_columns(self, columns):
        assert [column.to_pylist() for column in cast_timestamps(columns) or ()] == columns

    @pytest.mark.parametrize(
        "other",
        [
            *("", "2026-11-20", "2026-11-20Z", "2026-11-20T05:00:00.1234567Z", "2026-11-20T05:00:00", "2026-11-20-05"),
            *("2026-13-20T05:00:00Z", "2026-02-30T05:00:00Z", "2026-11-20T24:00:00Z", "2026-11-20T05:60:00Z"),
            *("1979-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z", "+026-11-20T05:00:00Z"),
            *("1980-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
        ],
    )
    def test_with_any_other_text_are_not_cast(self, other):
        assert cast_timestamps([["2026-11-20T05:00:00Z", other]]) is None


@pytest.mark.parametrize("instants", [[], [NOON], [NOON] * 3, [NOON, NOON + timedelta(seconds=1), NOON]])
def test_instants_of_one_response_or_of_several_become_the_same_column(instants):
    column = build_instants(instants)
    assert (column.type, column.to_pylist()) == (pa.timestamp("us", "UTC"), instants)
