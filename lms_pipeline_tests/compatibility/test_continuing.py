"""The next day of a data directory that commit a4277a4 wrote: carried over, resumed, or fetched again."""

from __future__ import annotations

import json

import pytest

from lms_pipeline_tests.support.older_data import ACADEMY, BRANCH, EXPECTED, PORTAL, PULLED, THIRD, Outcome, night_after
from lms_pipeline_tests.support.recorded_truto import count_routes

ACCOUNTS = (ACADEMY, PORTAL, BRANCH)


@pytest.fixture(scope="module")
def third_night(copy_directory, truto) -> Outcome:
    """The data directory after the third day of all accounts: one refused before, one new, one killed before."""
    directory = copy_directory("third-night")
    done = directory.run(night_after(THIRD, minutes=10), "materialize", "--date", str(THIRD))
    assert done.status == 0, done.output
    return Outcome(directory, list(truto.requests))


@pytest.mark.parametrize("account_id", ACCOUNTS)
def test_the_next_day_has_the_same_digests(third_night, account_id):
    expected = EXPECTED["third_night"][account_id]["digests"]
    assert third_night.directory.read_digests(account_id, THIRD) == expected


@pytest.mark.parametrize("table", PULLED)
@pytest.mark.parametrize("account_id", ACCOUNTS)
def test_the_next_day_has_the_same_rows_in_the_same_order(third_night, account_id, table):
    expected = EXPECTED["third_night"][account_id]["rows"][table]
    assert third_night.directory.hash_rows(table, account_id, THIRD) == expected


@pytest.mark.parametrize("account_id", ACCOUNTS)
def test_the_next_day_costs_the_same_calls(third_night, account_id):
    expected = EXPECTED["third_night"][account_id]["requests"]
    assert count_routes(third_night.requests_of(account_id)) == expected


@pytest.mark.parametrize("account_id", ACCOUNTS)
def test_the_next_day_carries_over_the_same_number_of_enrollments(third_night, account_id):
    sources = EXPECTED["third_night"][account_id]["sources"]
    assert third_night.directory.count_sources(account_id, THIRD) == sources
    assert ("carried" in sources) == (account_id != ACADEMY)


def test_a_killed_pull_sends_no_request_again_whose_response_was_kept(written, third_night):
    kept = written.read_kept_requests(BRANCH, THIRD)
    sent = third_night.requests_of(BRANCH)
    assert len(kept) == EXPECTED["third_night"][BRANCH]["kept"]
    assert kept.isdisjoint(sent)
    assert len(sent) == len(set(sent))


def test_a_killed_pull_counts_the_calls_of_both_processes(written, third_night):
    [before] = written.read_attempts(BRANCH, THIRD)
    [after] = third_night.directory.read_attempts(BRANCH, THIRD)
    assert (before["id"], before["is_finished"]) == (after["id"], 0)
    assert after["is_finished"] == 1
    assert after["requests"] == before["requests"] + len(third_night.requests_of(BRANCH))


def test_what_a_killed_pull_left_behind_is_removed(written, third_night):
    def left_behind(root):
        hidden = [path for path in (root / "lake").rglob(".*") if path.is_file()]
        return [*hidden, *(root / "state" / "pulls").rglob("*.parquet")]

    assert len(left_behind(written.root)) == 12
    assert left_behind(third_night.directory.root) == []


def test_the_strategy_that_was_chosen_is_remembered(written, third_night):
    before, after = (
        json.loads((root / "state" / "accounts.json").read_text(encoding="utf-8"))
        for root in (written.root, third_night.directory.root)
    )
    assert after == before
    assert {account["id"]: account["strategy"] for account in before} == {
        ACADEMY: "sweep",
        PORTAL: "roster",
        BRANCH: "auto",
    }


def test_a_snapshot_that_lost_most_rows_is_fetched_again(written, third_night):
    [refused] = written.read_attempts(ACADEMY, THIRD)
    assert (refused["is_refused"], refused["is_finished"]) == (1, 0)
    assert written.read_kept_requests(ACADEMY, THIRD) <= set(third_night.requests_of(ACADEMY))


def test_a_snapshot_that_lost_most_rows_is_published_from_its_kept_responses_where_that_is_allowed(
    copy_directory, truto
):
    directory = copy_directory("allowed")
    words = ("materialize", "--account", ACADEMY, "--select", "unified_enrollments", "--allow-drop")
    done = directory.run(night_after(THIRD, minutes=10), *words)
    # it is published; the check finds 2 pairs that the raw records lack
    assert "tenant-academy on 2025-03-05: 12 enrollments" in done.output
    assert "check agrees_with_raw of unified_enrollments failed" in done.output
    assert (done.status, done.output.count(" failed")) == (0, 1), done.output
    assert truto.requests == []
    assert directory.read_digests(ACADEMY, THIRD, PULLED) == EXPECTED["allowed_drop"]
