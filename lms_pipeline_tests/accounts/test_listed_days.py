"""The first day that Dagster lists."""

from datetime import UTC, date, datetime

import pytest

from lms_pipeline.accounts.listed_days import check_first_day, find_first_day, freeze_first_day
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.errors import WrongUseError
from lms_pipeline.settings import Settings

NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)
"""A Wednesday; Mondays are 2026-03-09, 2026-03-02 and 2026-02-23."""


@pytest.fixture
def build(tmp_path):
    """Build settings, and a registry with an account for each of these first days."""

    def build(*first_days, **fields):
        settings = Settings(data_dir=tmp_path, frozen_now=NOW, **fields)
        for number, day in enumerate(first_days):
            Registry.open(settings).add(f"a{number}", name=None, first_day=day)
        return settings

    return build


@pytest.mark.parametrize(
    ("first_days", "expected"),
    [
        ([], date(2026, 3, 10)),
        ([date(2026, 3, 10)], date(2026, 3, 10)),
        ([date(2026, 3, 5), date(2026, 2, 27), date(2026, 3, 1)], date(2026, 2, 27)),
        ([date(2026, 3, 20)], date(2026, 3, 10)),  # LMS_NOW is before the account was added
    ],
)
def test_without_a_start_date_it_is_that_of_the_oldest_account_and_at_most_the_latest_ended(
    build, first_days, expected
):
    assert find_first_day(build(*first_days)) == expected


def test_an_account_that_was_removed_counts(build):
    settings = build(date(2026, 1, 5), date(2026, 3, 1))
    Registry.open(settings).remove("a0", last_day=date(2026, 2, 1))
    assert find_first_day(settings) == date(2026, 1, 5)


@pytest.mark.parametrize("start", [date(2025, 1, 1), date(2026, 3, 1), date(2026, 5, 1)])
def test_a_start_date_is_used_as_it_is(build, start):
    assert find_first_day(build(date(2026, 2, 1), start_date=start)) == start


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (0, date(2025, 6, 1)),
        (1, date(2026, 3, 9)),
        (2, date(2026, 3, 9)),
        (3, date(2026, 3, 2)),
        (9, date(2026, 3, 2)),
        (10, date(2026, 2, 23)),
        (36_500, date(2025, 6, 1)),
    ],
)
def test_so_many_last_days_at_least_are_listed_from_a_monday_on(build, days, expected):
    assert find_first_day(build(date(2025, 6, 1), partition_days=days)) == expected


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("UTC", datetime(2026, 3, 9, 23, tzinfo=UTC), date(2026, 3, 2)),
        ("Asia/Tokyo", datetime(2026, 3, 15, 15, tzinfo=UTC), date(2026, 3, 9)),
        ("Asia/Tokyo", datetime(2026, 3, 15, 14, tzinfo=UTC), date(2026, 3, 2)),
    ],
)
def test_weeks_begin_on_the_monday_of_the_time_zone(build, zone, now, expected):
    settings = build(date(2025, 6, 1), partition_days=7, timezone=zone).model_copy(update={"frozen_now": now})
    assert find_first_day(settings) == expected


def test_a_later_start_date_shortens_the_window(build):
    assert find_first_day(build(start_date=date(2026, 3, 4), partition_days=30)) == date(2026, 3, 4)


def test_a_damaged_registry_is_logged_and_only_the_latest_day_is_listed(build, caplog):
    settings = build(date(2026, 2, 1))
    settings.data_dir.joinpath("state", "accounts.json").write_bytes(b"{")
    assert find_first_day(settings) == date(2026, 3, 10)
    assert [record.getMessage().split(" is damaged")[0] for record in caplog.records] == [
        f"The registry {settings.data_dir / 'state' / 'accounts.json'}"
    ]


def test_frozen_it_stays_when_the_week_and_the_registry_change(build):
    frozen = freeze_first_day(build(date(2026, 1, 1), partition_days=7))
    Registry.open(frozen).add("older", name=None, first_day=date(2025, 1, 1))
    later = frozen.model_copy(update={"frozen_now": datetime(2026, 3, 25, tzinfo=UTC)})
    assert find_first_day(later) == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2025, 12, 31), date(2025, 12, 31)),
        (date(2026, 3, 5), date(2026, 3, 2)),
        (date(2026, 3, 10), date(2026, 3, 2)),
    ],
)
def test_a_command_lists_the_day_that_it_runs(build, day, expected):
    assert find_first_day(freeze_first_day(build(date(2026, 1, 1), partition_days=7), day)) == expected


@pytest.mark.parametrize(
    ("fields", "day", "sentence"),
    [
        ({"start_date": date(2026, 3, 5)}, date(2026, 3, 4), "is before the first day, LMS_START_DATE 2026-03-05."),
        ({}, date(1999, 12, 31), "is before 2000-01-01: no data directory has a snapshot of it."),
    ],
)
def test_a_command_refuses_a_day_with_the_first_one(build, fields, day, sentence):
    with pytest.raises(WrongUseError) as refused:
        check_first_day(build(date(2026, 3, 5), **fields), day)
    assert str(refused.value) == f"{day} {sentence}"


def test_a_command_accepts_days_before_the_window_and_the_registry(build):
    check_first_day(build(date(2026, 1, 1), partition_days=1), date(2025, 1, 1))
