"""Snapshots of pairs whose budget is smaller than the number of calls that they need."""

from __future__ import annotations

from datetime import UTC, datetime, time
from itertools import count
from types import SimpleNamespace

import pytest

from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline_tests.support.pair_account import COURSES, LIST_PAGES, PAIRS, build_expected_rows, read_stored_rows

BUDGET = 32


def test_a_spent_budget_leaves_the_rest_to_the_roster_entries_and_the_next_day_fetches_it_first(account, portal):
    limits = Limits(per_snapshot=BUDGET)
    result = account.run_day(0, limits)
    fetched = BUDGET - LIST_PAGES - COURSES
    assert account.count_calls().total() == BUDGET
    assert result.complete
    assert account.count_sources(0) == {"unified": fetched, "roster": PAIRS - fetched}
    progress = {pair: row["progress_percent"] for pair, row in build_expected_rows(portal, 0).items()}
    assert {(r["user_id"], r["course_id"]): r["progress_percent"] for r in account.read_rows(0)} == progress
    roster = [row for row in account.read_rows(0) if row["source"] == "roster"]
    assert all(row["status_raw"] is row["enrollment_id"] is None for row in roster)
    assert {row["source"] for row in account.read_raw_rows(0)} == {"remote_data", "roster"}
    account.run_day(1, limits)
    assert account.count_calls().total() == BUDGET
    assert account.count_sources(1)["roster"] < account.count_sources(0)["roster"]
    day = 1
    while account.count_sources(day)["roster"]:
        day += 1
        account.run_day(day, limits)
        assert account.count_calls().total() <= BUDGET
    assert day == 2
    assert read_stored_rows(account, day) == build_expected_rows(portal, day)


def test_a_spent_budget_stores_no_payload_of_a_roster_entry_when_the_account_drops_payloads(account):
    account.run_day(0, Limits(per_snapshot=BUDGET), options={"remote_data": "drop"})
    assert account.count_sources(0)["roster"] > 0
    assert account.read_raw_rows(0) == []


def test_a_spent_budget_fails_the_snapshot_when_the_account_says_so(account):
    with pytest.raises(BudgetSpentError, match=rf"^The {BUDGET} calls that a snapshot of portal may cost are used"):
        account.run_day(0, Limits(per_snapshot=BUDGET), options={"when_spent": "fail"})
    assert account.runner.list_published_tables() == []


def test_a_budget_below_the_number_of_roster_responses_is_an_error(account):
    with pytest.raises(BudgetSpentError):
        account.run_day(0, Limits(per_snapshot=5))
    assert account.count_calls().total() == 5
    assert account.runner.list_published_tables() == []


def test_a_budget_below_the_number_of_pairs_without_roster_entries_is_an_error(account):
    with pytest.raises(BudgetSpentError):
        account.run_day(0, Limits(per_snapshot=BUDGET), options={"strategy": "pairs"})
    assert account.runner.list_published_tables() == []


def test_an_hourly_budget_waits_only_within_the_hours_of_the_snapshot(account):
    result = account.run_day(0, Limits(per_hour=25, hours=0.5))
    assert account.count_calls().total() == 25
    assert result.rows.roster == PAIRS - (25 - LIST_PAGES - COURSES)


def test_the_close_of_the_day_ends_the_calls_and_not_the_snapshot(account):
    half_an_hour_before = datetime.combine(account.date(1), time(23, 30), UTC)
    result = account.run_day(0, Limits(per_hour=25, hours=24), now=half_an_hour_before)
    assert account.count_calls().total() == 25
    assert result.rows.roster == PAIRS - (25 - LIST_PAGES - COURSES)


def test_pairs_that_come_after_the_close_of_the_day_are_left_to_the_roster_entries(account):
    open_until = LIST_PAGES + COURSES + 20
    before, after = (datetime.combine(account.date(day), time(1), UTC) for day in (1, 2))

    def read_clock():
        return before if account.count_calls().total() < open_until else after

    account.run_day(0, clock=read_clock)
    sources = account.count_sources(0)
    assert sources.total() == PAIRS
    assert 0 < sources["unified"] <= 20


def test_the_close_of_the_day_fails_the_snapshot_when_the_account_says_so(account):
    late = datetime.combine(account.date(1), time(23, 30), UTC)
    with pytest.raises(
        BudgetSpentError, match=r"^The grace period of 2026-03-01 ends before all enrollments of portal"
    ):
        account.run_day(0, Limits(per_hour=25, hours=24), now=late, options={"when_spent": "fail"})
    assert account.runner.list_published_tables() == []


def test_a_slow_portal_ends_with_the_hours_of_the_snapshot_without_any_wait(account, monkeypatch):
    times = map(float, count(0, 60))  # a call each minute
    monkeypatch.setattr("lms_pipeline.extract.budget.time", SimpleNamespace(monotonic=lambda: next(times)))
    result = account.run_day(0, Limits(per_hour=10_000, hours=0.5))
    assert account.count_calls().total() == 30
    assert result.rows.roster == PAIRS - (30 - LIST_PAGES - COURSES)
