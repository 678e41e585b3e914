"""Tests of the schedule: a grace period that is over when it ticks is refused."""

from datetime import UTC, datetime

import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.jobs import check_schedule
from lms_pipeline.errors import SettingsError
from lms_pipeline.settings import Settings

NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)
"""Within the year after it, clocks are set forward on 2026-03-29 (Berlin), and back on 2026-11-01 (New York)."""


def build_settings(schedule, grace_hours, timezone="UTC"):
    return Settings(schedule=schedule, grace_hours=grace_hours, timezone=timezone, frozen_now=NOW)


def describe(schedule, tick, enough):
    return (
        f"LMS_GRACE_HOURS can't be used: no day is open any more when LMS_SCHEDULE '{schedule}' ticks at {tick}, so that "
        f"nothing would be pulled; set LMS_GRACE_HOURS {enough}, or let LMS_SCHEDULE tick earlier."
    )


@pytest.mark.parametrize(
    ("schedule", "grace_hours", "timezone", "tick", "enough"),
    [
        ("0 2 * * *", 1, "UTC", "2026-03-11 02:00", "above 2"),
        ("0 2 * * *", 2, "UTC", "2026-03-11 02:00", "above 2"),
        ("0 2 * * *", 1, "Asia/Kolkata", "2026-03-11 02:00", "above 2"),
        ("10 23 * * *", 23, "UTC", "2026-03-11 23:10", "above 23.17"),
        ("0 6,18 * * *", 6, "UTC", "2026-03-11 06:00", "above 6"),
        ("0 5 * * 1", 2, "UTC", "2026-03-16 05:00", "above 5"),
        ("0 2 1 * *", 1, "UTC", "2026-04-01 02:00", "above 2"),
        # the second 01:30 of the day is 2.5 hours after midnight, the clock shows 1.5
        ("30 1 * * *", 1.6, "America/New_York", "2026-11-01 01:30", "above 2.5"),
        # 02:30 does not exist that day, so it ticks at 03:00
        ("30 2 * * *", 3, "Europe/Berlin", "2026-03-29 03:00", "above 3"),
        ("59 23 * * *", 23.9, "America/New_York", "2026-11-01 23:59", "to 24"),
    ],
)
def test_a_schedule_without_an_open_day_is_refused(schedule, grace_hours, timezone, tick, enough):
    with pytest.raises(SettingsError) as refused:
        check_schedule(build_settings(schedule, grace_hours, timezone))

    assert str(refused.value) == describe(schedule, tick, enough)


@pytest.mark.parametrize(
    ("schedule", "grace_hours", "timezone"),
    [
        ("0 2 * * *", 24, "UTC"),
        ("0 2 * * *", 2.01, "UTC"),
        ("0 0 * * *", 0.01, "UTC"),
        ("@daily", 1, "Pacific/Auckland"),
        ("0 * * * *", 1, "UTC"),
        ("*/5 * * * *", 0.1, "UTC"),
        ("0 1,13 * * *", 2, "UTC"),
        ("0 2 * * 1-5", 3, "UTC"),
        ("0 2 29 2 *", 3, "UTC"),
        ("59 23 * * *", 24, "America/New_York"),
        ("59 23 * * *", 24, "Europe/Berlin"),
        ("30 1 * * *", 2.6, "America/New_York"),
        ("30 2 * * *", 3.1, "Europe/Berlin"),
        ("30 0 * * *", 24, "America/Santiago"),
    ],
)
def test_a_schedule_with_an_open_day_at_the_first_tick_of_each_day_is_accepted(schedule, grace_hours, timezone):
    check_schedule(build_settings(schedule, grace_hours, timezone))


@pytest.mark.parametrize("schedule", ["daily at two", "0 2 * *", "0 0 30 2 *", "0 0 31 4 *", "0 0 30,31 2 *"])
def test_a_schedule_that_never_ticks_is_refused(schedule):
    with pytest.raises(SettingsError, match=r"^LMS_SCHEDULE can't be used: it must be a cron expression"):
        check_schedule(build_settings(schedule, 24))


def test_the_definitions_refuse_a_schedule_without_an_open_day(settings):
    with pytest.raises(SettingsError, match=r"^LMS_GRACE_HOURS can't be used"):
        build_defs(settings.model_copy(update={"grace_hours": 1.0}))
