"""Snapshots of pairs that may not cost what they need."""

from __future__ import annotations

import pytest

from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline_tests.support.pair_account import COURSES, LISTS, PAIRS, expected, stored

BUDGET = 60


def test_a_budget_that_is_spent_leaves_the_rest_to_the_details_and_asks_for_it_first_the_next_day(
    days, portal
):
    limits = Limits(per_snapshot=BUDGET)
    report = days.take(0, limits)
    told = BUDGET - LISTS - COURSES
    assert days.asked().total() == BUDGET
    assert report.complete
    assert days.sources(0) == {"unified": told, "roster": PAIRS - told}
    progress = {pair: row["progress_percent"] for pair, row in expected(portal, 0).items()}
    assert {(r["user_id"], r["course_id"]): r["progress_percent"] for r in days.rows(0)} == progress
    roster = [row for row in days.rows(0) if row["source"] == "roster"]
    assert all(row["status_raw"] is row["enrollment_id"] is None for row in roster)
    assert {row["source"] for row in days.raw(0)} == {"remote_data", "roster"}
    days.take(1, limits)
    assert days.asked().total() == BUDGET
    assert days.sources(1)["roster"] < days.sources(0)["roster"]
    day = 1
    while days.sources(day)["roster"]:
        day += 1
        days.take(day, limits)
        assert days.asked().total() <= BUDGET
    assert day == 2
    assert stored(days, day) == expected(portal, day)


def test_a_budget_that_is_spent_stores_no_payload_of_a_detail_where_payloads_are_dropped(days):
    days.take(0, Limits(per_snapshot=BUDGET), options={"remote_data": "drop"})
    assert days.sources(0)["roster"] > 0
    assert days.raw(0) == []


def test_a_budget_that_is_spent_can_make_the_snapshot_fail(days):
    with pytest.raises(
        BudgetSpentError, match=rf"^The {BUDGET} calls that a snapshot of portal may cost are used"
    ):
        days.take(0, Limits(per_snapshot=BUDGET), options={"when_spent": "fail"})
    assert days.taker.visible() == []


def test_a_budget_that_does_not_reach_for_the_details_is_an_error(days):
    with pytest.raises(BudgetSpentError):
        days.take(0, Limits(per_snapshot=5))
    assert days.asked().total() == 5
    assert days.taker.visible() == []


def test_a_budget_that_does_not_reach_for_pairs_without_details_is_an_error(days):
    with pytest.raises(BudgetSpentError):
        days.take(0, Limits(per_snapshot=BUDGET), options={"strategy": "pairs"})
    assert days.taker.visible() == []


def test_a_budget_of_an_hour_is_waited_for_within_the_hours_and_no_longer(days):
    report = days.take(0, Limits(per_hour=25, hours=0.5))
    assert days.asked().total() == 25
    assert report.rows.roster == PAIRS - (25 - LISTS - COURSES)
