"""How many checks must find nothing of a run: three in a row, over a minute."""

import pytest

from lms_pipeline.defs.missed_checks import MissedChecks


def missed(times):
    return MissedChecks(iter(times).__next__)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0, 30, 60), [False, False, True]),
        ((0, 30, 59.9), [False, False, False]),
        ((0, 60), [False, False]),
        ((0, 1, 2, 3, 4, 60), [False, False, False, False, False, True]),
        ((0, 90, 180), [False, False, True]),
    ],
)
def test_a_run_has_failed_after_three_misses_over_a_minute(times, expected):
    checks = missed(times)
    assert [checks.add("task") for _ in times] == expected


def test_an_answer_begins_the_count_again():
    checks = missed((0, 30, 60, 90, 120))
    assert [checks.add("task"), checks.add("task")] == [False, False]
    checks.forget("task")
    assert [checks.add("task") for _ in range(3)] == [False, False, True]


def test_tasks_are_counted_apart():
    checks = missed((0, 30, 60, 90))
    assert [checks.add(task) for task in ("one", "two", "one", "one")] == [False, False, False, True]


def test_tasks_that_are_not_checked_any_more_are_forgotten():
    checks = missed((0, 3_601, 3_602, 3_661))
    assert [checks.add(task) for task in ("one", "two", "one", "one")] == [False, False, False, False]
