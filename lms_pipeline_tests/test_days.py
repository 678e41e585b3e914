"""On which day an instant falls, which day is open for a pull, and the one time zone database of both."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lms_pipeline.days import Calendar, DayNotOpenError, UnknownZoneError, load_zone
from lms_pipeline_tests.support.full import choose

DAY = timedelta(days=1)
ZONES = [
    *("UTC", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Chatham"),
    *("America/New_York", "America/Santiago", "America/Havana", "America/Nuuk", "America/St_Johns"),
    *("Asia/Beirut", "Africa/Cairo", "Africa/Casablanca", "Atlantic/Azores"),
    *("Europe/Athens", "Europe/Dublin", "Australia/Lord_Howe", "Antarctica/Troll"),
]
"""Includes zones whose clocks change at midnight, to midnight, by half an hour and by two hours."""

zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2039, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
SANTIAGO_SKIPS_MIDNIGHT = ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC))


def calendar(zone="UTC", grace_hours=24):
    return Calendar(load_zone(zone), grace_hours)


def is_open(days, day, now):
    try:
        days.check_open(day, now)
    except DayNotOpenError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@example(*SANTIAGO_SKIPS_MIDNIGHT)
@given(zones, instants)
def test_exactly_one_day_is_open_at_every_instant_with_a_grace_of_24_hours(zone, now):
    days = calendar(zone)
    around = [now.date() + number * DAY for number in range(-4, 4)]
    assert [day for day in around if is_open(days, day, now)] == [days.find_open_day(now)]


@settings(max_examples=400, deadline=None)
@example(*SANTIAGO_SKIPS_MIDNIGHT)
@given(zones, instants)
def test_the_open_day_has_ended_and_not_closed(zone, now):
    days = calendar(zone)
    day = days.find_open_day(now)
    assert day is not None
    assert days.ends_at(day) <= now < days.closes_at(day)


@settings(max_examples=200, deadline=None)
@given(zones, instants, st.floats(0.25, 24))
def test_with_a_shorter_grace_at_most_one_day_is_open(zone, now, grace_hours):
    days = calendar(zone, grace_hours)
    around = [now.date() + number * DAY for number in range(-4, 4)]
    expected = [] if days.find_open_day(now) is None else [days.find_open_day(now)]
    assert [day for day in around if is_open(days, day, now)] == expected


@settings(max_examples=200, deadline=None)
@given(zones, instants)
def test_a_day_closes_as_the_next_one_ends(zone, now):
    days, day = calendar(zone), now.date()
    assert days.closes_at(day) == days.ends_at(day + DAY)


@settings(max_examples=200, deadline=None)
@given(zones, instants)
def test_a_day_has_ended_from_its_end_on_and_not_a_microsecond_earlier(zone, now):
    days, day = calendar(zone), now.date()
    end = days.ends_at(day)
    before = end - timedelta(microseconds=1)
    assert (days.find_latest_ended(end), days.find_latest_ended(before)) == (day, day - DAY)


@pytest.mark.parametrize(
    ("zone", "day", "end"),
    [
        ("UTC", date(2026, 3, 1), datetime(2026, 3, 2, tzinfo=UTC)),
        ("UTC", date(2026, 12, 31), datetime(2027, 1, 1, tzinfo=UTC)),
        ("Asia/Kolkata", date(2026, 3, 1), datetime(2026, 3, 1, 18, 30, tzinfo=UTC)),
        ("America/New_York", date(2026, 3, 7), datetime(2026, 3, 8, 5, tzinfo=UTC)),
        ("America/New_York", date(2026, 3, 8), datetime(2026, 3, 9, 4, tzinfo=UTC)),
        ("Europe/Athens", date(2026, 10, 25), datetime(2026, 10, 25, 22, tzinfo=UTC)),
        ("America/Santiago", date(2026, 9, 5), datetime(2026, 9, 6, 4, tzinfo=UTC)),
        ("Pacific/Kiritimati", date(2026, 3, 1), datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_day_ends_at_midnight_of_its_zone(zone, day, end):
    assert calendar(zone).ends_at(day) == end


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 28), 23), (date(2026, 3, 27), 24), (date(2026, 10, 24), 25)])
def test_a_grace_period_of_24_hours_is_as_long_as_the_next_day(day, hours):
    days = calendar("Europe/Athens")  # its clocks change on 2026-03-29 and 2026-10-25
    assert days.closes_at(day) - days.ends_at(day) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 3, 2, 0, 0, tzinfo=UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 2, 5, 59, 59, tzinfo=UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 2, 6, 0, tzinfo=UTC), None),
        (datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC), None),
        (datetime(2026, 3, 3, 0, 0, tzinfo=UTC), date(2026, 3, 2)),
    ],
)
def test_no_day_is_open_between_the_grace_period_and_the_end_of_the_next_day(now, day):
    assert calendar(grace_hours=6).find_open_day(now) == day


def test_the_open_day_is_accepted():
    calendar().check_open(date(2026, 3, 1), datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("day", "problem"),
    [
        (date(2026, 3, 2), "has not ended yet"),
        (date(2026, 2, 28), "is closed and can't be pulled any more, since the API returns only the current state"),
    ],
)
def test_a_day_that_is_not_open_is_refused_with_the_open_day(day, problem):
    with pytest.raises(DayNotOpenError) as refused:
        calendar().check_open(day, datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert str(refused.value) == f"{day} {problem}: the day that is open is 2026-03-01."


def test_a_refusal_says_that_no_day_is_open():
    with pytest.raises(DayNotOpenError, match=r"^2026-03-01 is closed .*: no day is open at this hour\.$"):
        calendar(grace_hours=6).check_open(date(2026, 3, 1), datetime(2026, 3, 2, 7, tzinfo=UTC))


DATABASE = files("tzdata")
ALL_ZONES = DATABASE.joinpath("zones").read_text("utf-8").split()
DISTINCT_ZONES = list(
    {DATABASE.joinpath("zoneinfo", *name.split("/")).read_bytes(): name for name in ALL_ZONES}.values()
)
"""One name of each zone, without the others that have the same clocks."""
MINUTE = timedelta(minutes=1)


def find_days(parts, instant):
    return [part.day for part in parts if part.first_at <= instant <= part.last_at]


def list_clock_changes(zone, year):
    """Return the hours of a year in UTC before which the offset of the zone changes."""

    def find_changes(instants):
        offsets = [instant.astimezone(zone).utcoffset() for instant in instants]
        return [at for at, before, after in zip(instants[1:], offsets, offsets[1:], strict=False) if before != after]

    days = [datetime(year, 1, 1, tzinfo=UTC) + number * DAY for number in range(366)]
    hours = ([day - number * timedelta(hours=1) for number in range(24, -1, -1)] for day in find_changes(days))
    return [hour for changed in hours for hour in find_changes(changed)]


@pytest.mark.parametrize("year", choose([2006, 2011, 2026], [1989, 2006, 2011, 2026, 2027]))
def test_an_instant_falls_on_the_day_of_the_clocks_in_every_zone(year):
    """Around each clock change of the year. In 2006 St. John's set its clocks back at 00:01, to the day before.
    In 2011 Samoa had no 30 December."""
    wrong = []
    for name in choose(DISTINCT_ZONES, ALL_ZONES):
        days = calendar(name)
        for change in list_clock_changes(days.zone, year):
            for utc_day in (change.date() - DAY, change.date(), change.date() + DAY):
                parts = days.split_utc_day(utc_day)
                midnight = datetime.combine(utc_day, time.min, UTC)
                probes = [midnight + number * MINUTE + timedelta(microseconds=1) for number in range(0, 24 * 60, 30)]
                near = [change + number * MINUTE for number in range(-61, 62) if number and number % 60 in {0, 1, 59}]
                probes += [instant for instant in near if instant.date() == utc_day and instant.time() != time.min]
                probes += [part.last_at for part in parts[1:]] + [part.first_at for part in parts[1:]]
                wrong += [
                    (name, instant)
                    for instant in probes
                    if find_days(parts, instant) != [instant.astimezone(days.zone).date()]
                ]
    assert wrong == []


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL_ZONES), st.dates(date(1980, 1, 1), date(9999, 12, 30)), st.integers(1, 86_399_999_999))
def test_an_instant_falls_on_the_day_of_the_clocks_in_every_year(zone, utc_day, microsecond):
    instant = datetime.combine(utc_day, time.min, UTC) + timedelta(microseconds=microsecond)
    days = calendar(zone)
    assert find_days(days.split_utc_day(utc_day), instant) == [instant.astimezone(days.zone).date()]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL_ZONES), st.dates(date(1980, 1, 1)))
def test_midnight_in_utc_is_that_date_in_every_zone(zone, utc_day):
    midnight = datetime.combine(utc_day, time.min, UTC)
    assert find_days(calendar(zone).split_utc_day(utc_day), midnight) == [utc_day]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL_ZONES), st.dates(date(1980, 1, 1)))
def test_the_parts_of_a_day_leave_no_gap(zone, utc_day):
    parts = calendar(zone).split_utc_day(utc_day)
    ends = [part.last_at + timedelta(microseconds=1) for part in parts[:-1]]
    assert [part.first_at for part in parts] == [datetime.combine(utc_day, time.min, UTC), *ends]
    assert parts[-1].last_at == datetime.combine(utc_day, time.max, UTC)


def test_the_last_day_of_the_calendar_has_no_next_one():
    parts = calendar("Asia/Tokyo").split_utc_day(date.max)
    assert find_days(parts, datetime.max.replace(tzinfo=UTC)) == [date.max]


def test_every_zone_of_the_database_is_a_zone():
    assert [name for name in ALL_ZONES if load_zone(name).key != name] == []
    assert len(ALL_ZONES) > 500


@pytest.mark.parametrize(
    "name",
    [
        *("localtime", "posix/Europe/Athens", "right/Europe/Athens", "posixrules", "zones", "europe/athens"),
        *("EUROPE/ATHENS", " Europe/Athens", "Europe/Athens ", "Europe", "Europe/", "Europe/../Europe/Athens", "", "."),
        *("/etc/localtime", "UTC+2", "+02:00", "EST5", "ACT", "SystemV/EST5", "Mars/Olympus", "Europe/Athens\0"),
    ],
)
def test_other_names_are_no_zones(name):
    with pytest.raises(UnknownZoneError, match=r"^There is no time zone .*: use a name of the IANA database"):
        load_zone(name)


WHICH_DAY = """
from datetime import datetime
from zoneinfo import ZoneInfo
from lms_pipeline.days import load_zone, use_locked_zones

now = datetime.fromisoformat("2026-12-01T22:30:00+00:00")
print(now.astimezone(ZoneInfo("Europe/Athens")).day)  # in Athens it is 2 December
print(now.astimezone(load_zone("Europe/Athens")).day)
use_locked_zones()
print(now.astimezone(ZoneInfo("Europe/Athens")).day)
"""


def test_the_zones_are_those_of_the_package_whatever_the_system_has(tmp_path):
    """The system's Athens is a copy of UTC here."""
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Athens").write_bytes(DATABASE.joinpath("zoneinfo", "UTC").read_bytes())
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
    printed = subprocess.check_output([sys.executable, "-c", WHICH_DAY], env=environment, text=True)
    assert printed.split() == ["1", "2", "2"]


@pytest.mark.parametrize(
    ("zone", "hours"), [("America/Vancouver", -7), ("America/Edmonton", -6), ("America/Winnipeg", -5)]
)
def test_the_database_knows_the_zones_that_changed_in_2026(zone, hours):
    """They keep the time of summer. Older databases set the clocks back on 1 November."""
    assert datetime(2026, 12, 1, tzinfo=UTC).astimezone(load_zone(zone)).utcoffset() == timedelta(hours=hours)
