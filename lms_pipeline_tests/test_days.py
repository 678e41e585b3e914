"""Which day is open for a pull at which instant."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lms_pipeline.days import Calendar, DayNotOpenError

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
    return Calendar(ZoneInfo(zone), grace_hours)


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
