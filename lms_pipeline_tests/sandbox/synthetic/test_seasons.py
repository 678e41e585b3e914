"""The seasons of the generated world: when people take up courses, when they join, and what is due."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.sandbox.synthetic.profiles import GROUP_ID
from lms_pipeline.sandbox.synthetic.seasons import joining, taking_up
from lms_pipeline.sandbox.synthetic.world import generated_world

YEARS = (2024, 2025, 2026)
AFTERWARDS = datetime(YEARS[-1] + 1, 1, 1, tzinfo=UTC)


def chance(seed):
    return Random(seed)  # noqa: S311 - the same for the same seed, as in the world


def told(view, kind):
    return [json.loads(record.unified) for record in getattr(view, kind)().read(0, 10**9).records]


def share_of_months(days, *months):
    return sum(day.month in months for day in days) / len(days)


def of_the_years(instants):
    days = [datetime.fromisoformat(instant) for instant in instants]
    return [day for day in days if day.year in YEARS]


@pytest.fixture(scope="module")
def group():
    return generated_world(accounts=[GROUP_ID]).view(GROUP_ID, AFTERWARDS)


@pytest.fixture(scope="module")
def enrollments(group):
    return told(group, "enrollments")


@pytest.fixture(scope="module")
def by_choice(enrollments):
    """When the enrollments began that nobody was assigned to."""
    return of_the_years(one["created_at"] for one in enrollments if "assigned_at" not in one)


@pytest.fixture(scope="module")
def joined(group):
    return of_the_years(one["created_at"] for one in told(group, "users"))


class TestTakingUpCourses:
    @pytest.mark.parametrize("year", YEARS)
    def test_it_is_done_less_in_summer_and_more_when_the_year_or_the_autumn_begins(self, by_choice, year):
        days = [day for day in by_choice if day.year == year]
        assert len(days) > 1_000
        assert 0.04 < share_of_months(days, 7, 8) < 0.11  # 0.17 if all months were alike
        assert share_of_months(days, 1) > 0.11  # 0.08
        assert share_of_months(days, 9, 10) > 0.2  # 0.17

    def test_hardly_any_is_begun_in_the_last_two_weeks_of_december(self, by_choice):
        late = [day for day in by_choice if (day.month, day.day) >= (12, 18)]
        assert 0 < len(late) / len(by_choice) < 0.02  # 0.04


class TestJoining:
    def test_people_come_in_january_and_september(self, joined):
        assert share_of_months(joined, 1, 9) > 0.25  # 0.17 if all months were alike
        assert share_of_months(joined, 7, 8) < 0.14

    def test_they_come_at_the_beginning_of_a_month(self, joined):
        assert sum(day.day <= 7 for day in joined) / len(joined) > 0.6  # 0.23


def test_something_is_due_all_year_round(enrollments):
    due = sorted(
        {day.date() for day in of_the_years(one["due_at"] for one in enrollments if "due_at" in one)}
    )
    assert max(after - before for before, after in pairwise(due)) < timedelta(days=45)


@pytest.mark.parametrize("season_of", [taking_up, joining])
class TestSeason:
    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Asia/Singapore", "America/Los_Angeles"])
    def test_every_instant_lies_in_its_year(self, season_of, zone):
        season, draw = season_of(2024), chance(1)
        drawn = [season.draw(draw, ZoneInfo(zone)) for _ in range(20_000)]
        assert {datetime.fromtimestamp(one, UTC).year for one in drawn} == {2024}

    def test_nobody_begins_on_a_weekend(self, season_of):
        season, draw, zone = season_of(2026), chance(2), ZoneInfo("Europe/Paris")
        days = Counter(datetime.fromtimestamp(season.draw(draw, zone), zone).weekday() for _ in range(2_000))
        assert set(days) == {0, 1, 2, 3, 4}

    def test_the_same_chance_draws_the_same_instants(self, season_of):
        zone = ZoneInfo("Europe/Paris")
        one, other = chance(3), chance(3)
        assert [season_of(2026).draw(one, zone) for _ in range(50)] == [
            season_of(2026).draw(other, zone) for _ in range(50)
        ]


@pytest.mark.parametrize("kind", ["users", "enrollments"])
def test_the_lists_stay_in_the_order_of_time(group, kind):
    created = [one["created_at"] for one in told(group, kind)]
    assert created == sorted(created)
