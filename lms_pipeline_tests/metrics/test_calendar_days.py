"""The calendar days in the figures are those of the calendar's zone, which is of the locked time zone database."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lms_pipeline.days import Calendar, load_zone
from lms_pipeline.metrics.completion import EnrollmentsFile, open_completion
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.enrollment_files import write
from lms_pipeline_tests.support.full import choose

if TYPE_CHECKING:
    from pathlib import Path

ZONES = files("tzdata").joinpath("zones").read_text("utf-8").split()
BEGAN = date(1981, 1, 1)
LATER = datetime(9999, 1, 1, tzinfo=UTC)


def compute_days(path: Path, zone: ZoneInfo, instants: list[datetime]) -> list[date]:
    """Return the day of each instant: that of a completion, from the days that it took since a known date."""
    rows = [
        {
            "user_id": "ann",
            "course_id": f"{number:05}",
            "status": "completed",
            "enrolled_at": datetime.combine(BEGAN, time.min, UTC),
            "completed_at": instant,
            "fetched_at": LATER,
        }
        for number, instant in enumerate(instants)
    ]
    file = EnrollmentsFile(write(path, rows), LATER.date(), Calendar(zone))
    with open_completion(file, [COURSE_COMPLETION]) as read_rows:
        days = read_rows(COURSE_COMPLETION).read_all().column("days_to_complete_p50").to_pylist()
    return [BEGAN + timedelta(days=number) for number in days]


def around_midnights(zone: ZoneInfo, years: range) -> list[datetime]:
    """Return instants around the midnights of the zone at which a month begins, and around those of UTC."""
    midnights = [datetime(year, month, 1, tzinfo=at) for year in years for month in range(1, 13) for at in (zone, UTC)]
    seconds = (-3_601, -3_600, -1, 0, 1, 3_599, 3_600)
    return [midnight.astimezone(UTC) + timedelta(seconds=number) for midnight in midnights for number in seconds]


@settings(max_examples=choose(1, 6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("America/Vancouver")
@example("America/Winnipeg")
@example("Africa/Casablanca")
@example("America/Havana")
@example("America/St_Johns")
@example("Pacific/Apia")
@given(st.sampled_from(ZONES))
def test_the_day_of_an_instant_is_that_of_the_zone(tmp_path: Path, name: str) -> None:
    zone = load_zone(name)
    instants = around_midnights(zone, range(2006, 2036, choose(8, 4)))
    assert compute_days(tmp_path / "data.parquet", zone, instants) == [
        instant.date() if instant.time() == time.min else instant.astimezone(zone).date() for instant in instants
    ]


@settings(max_examples=choose(3, 12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ZONES),
    st.lists(st.datetimes(datetime(1981, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC)), min_size=1, max_size=50),  # noqa: DTZ001
)
def test_the_day_of_any_instant_is_that_of_the_zone(tmp_path: Path, name: str, instants: list[datetime]) -> None:
    zone = load_zone(name)
    assert compute_days(tmp_path / "data.parquet", zone, instants) == [
        instant.date() if instant.time() == time.min else instant.astimezone(zone).date() for instant in instants
    ]


def test_the_zone_of_the_calendar_counts_and_not_another_database_of_its_name(tmp_path: Path) -> None:
    with files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").open("rb") as file:
        athens = ZoneInfo.from_file(file, key="Europe/Athens")
    noon = datetime(2026, 3, 31, 16, tzinfo=UTC)
    assert compute_days(tmp_path / "data.parquet", athens, [noon]) == [date(2026, 4, 1)]
