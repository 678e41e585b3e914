"""Which earlier day a figure is compared with, and which days are shown."""

from datetime import date, timedelta

import pytest

from lms_pipeline.report.small_groups import Figures, ShownRate
from lms_pipeline.report.trend import TrendPoint, choose_days, find_change, find_compared

LAST = date(2026, 3, 31)


def point(back, value=0.5, accounts=("a",), **more):
    rates = {"completion_rate": ShownRate(value, None, None)}
    return TrendPoint(LAST - timedelta(days=back), Figures(10, 5, 10, rates), frozenset(accounts), **more)


@pytest.mark.parametrize(
    ("backs", "expected"), [([7, 8], 7), ([8, 9], 8), ([10], 10), ([11], None), ([6, 5], None), ([], None)]
)
def test_a_week_is_compared_with_that_day_or_the_three_before_it(backs, expected):
    current = point(0)
    compared = find_compared([*(point(back) for back in backs), current], current, 7)
    assert compared == (None if expected is None else point(expected))


def test_days_with_other_accounts_are_not_compared():
    current = point(0, accounts=("a", "b"))
    assert find_compared([point(7), current], current, 7) is None


@pytest.mark.parametrize(("before", "now"), [({"a"}, set()), (set(), {"a"}), ({"a"}, {"b"}), ({"a"}, {"a", "b"})])
def test_days_with_other_reconstructed_accounts_are_not_compared(before, now):
    earlier = point(7, accounts=("a", "b"), reconstructed=frozenset(before))
    current = point(0, accounts=("a", "b"), reconstructed=frozenset(now))
    assert find_compared([earlier, current], current, 7) is None


def test_days_with_the_same_reconstructed_accounts_are_compared():
    earlier, current = (point(back, reconstructed=frozenset({"a"})) for back in (7, 0))
    assert find_compared([earlier, current], current, 7) == earlier


def test_a_change_is_the_difference_of_the_rates():
    change = find_change([point(7, 0.25), point(0, 0.75)], "completion_rate", 7)
    assert change == (0.5, LAST - timedelta(days=7))


def test_a_rate_that_one_day_lacks_has_no_change():
    assert find_change([point(7), point(0)], "on_time_rate", 7) is None


def test_all_days_are_shown_if_there_are_few():
    days = [LAST - timedelta(days=back) for back in (3, 1, 0)]
    assert choose_days([*days, LAST + timedelta(days=1)], LAST, 5) == days


def test_of_many_days_the_compared_and_the_weekly_ones_stay():
    days = [LAST - timedelta(days=back) for back in range(60)]
    chosen = choose_days(days, LAST, 12)
    assert [(LAST - day).days for day in chosen] == [56, 49, 42, 35, 28, 21, 14, 7, 3, 2, 1, 0]


def test_of_three_days_those_that_are_compared_stay():
    days = [LAST - timedelta(days=back) for back in range(60) if back not in {7, 28, 29}]
    assert [(LAST - day).days for day in choose_days(days, LAST, 3)] == [30, 8, 0]


def test_days_with_other_shown_courses_are_not_compared():
    earlier = point(7, courses=frozenset({("a", "c1")}))
    current = point(0, courses=frozenset({("a", "c1"), ("a", "c2")}))
    assert find_compared([earlier, current], current, 7) is None
