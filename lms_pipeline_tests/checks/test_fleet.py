"""Checks of all accounts: missing snapshots, disconnected accounts, partition keys."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.accounts.sync import Refusal
from lms_pipeline.checks.fleet import (
    PartitionKeyCount,
    accounts_are_connected,
    accounts_are_fresh,
    accounts_are_listed,
    load_fleet,
    no_day_is_missing,
    partitions_are_few,
)
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.stopped import StoppedPull, save_stopped
from lms_pipeline.settings import Settings
from lms_pipeline.truto.models import IntegratedAccount, Integration
from lms_pipeline_tests.support.lake_files import publish

START = date(2026, 3, 1)
NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)
"""The 10th has ended and is open; the 9th is the latest closed day."""
LOST = IntegratedAccount(id="lost", status="needs_reauth", integration=Integration(name="talentlms", category="lms"))


def march(*days):
    return [date(2026, 3, day) for day in days]


@pytest.fixture
def fleet(files):
    """Build a fleet with these accounts, each given as its first day and the days that it has."""

    def build(failed=(), **accounts):
        registry = Registry(files.data)
        for account_id, (first, *days) in accounts.items():
            registry.add(account_id, name=None, first_day=date(2026, 3, first))
            for day in march(*days):
                publish(files.data, account_id, day)
        settings = Settings(data_dir=files.data.root, start_date=START, frozen_now=NOW)
        return load_fleet(files.data, settings, {Partition(one, day) for one, day in failed})

    return build


class TestFresh:
    def test_passes_if_every_account_has_the_latest_closed_day(self, fleet):
        found = accounts_are_fresh(fleet(north=(8, 8, 9), south=(9, 9)))
        assert (found.passed, found.message) == (True, "0 of 2 active accounts have no snapshot of 2026-03-09.")

    def test_fails_for_one_account_without_it_among_others(self, fleet):
        found = accounts_are_fresh(fleet(north=(1, 8, 9, 10), south=(1, 4)))
        assert not found.passed
        assert found.message == "1 of 2 active accounts has no snapshot of 2026-03-09: see their last runs."
        assert found.rows == [
            {"account_id": "south", "first_day": "2026-03-01", "last_snapshot": "2026-03-04", "days_missing": 8}
        ]

    def test_ignores_the_day_that_is_still_open(self, fleet):
        assert accounts_are_fresh(fleet(north=(10,))).passed

    def test_ignores_accounts_that_were_removed(self, fleet, files):
        fleet(north=(1, 4), south=(9, 9))
        Registry(files.data).remove("north", last_day=date(2026, 3, 4))
        assert accounts_are_fresh(fleet()).passed


def test_fresh_says_which_pulls_stopped_and_why_the_last_one(fleet, files):
    for account_id, hour in (("north", 3), ("south", 2)):
        at = datetime(2026, 3, 11, hour, tzinfo=UTC)
        stopped = StoppedPull(account_id=account_id, day=date(2026, 3, 10), at=at, reason=f"{account_id} is endless.")
        save_stopped(files.data, stopped)
    assert accounts_are_fresh(fleet(north=(8, 8, 9), south=(9, 9))).message == (
        "0 of 2 active accounts have no snapshot of 2026-03-09. 2 pulls stopped at a bound or for lack of space, the last "
        "one of north on 2026-03-10: north is endless. `lms-pipeline accounts list` names all of them."
    )


def test_fresh_counts_one_stopped_pull_in_the_singular(fleet, files):
    at = datetime(2026, 3, 11, 3, tzinfo=UTC)
    save_stopped(files.data, StoppedPull(account_id="north", day=date(2026, 3, 10), at=at, reason="It is endless."))
    message = accounts_are_fresh(fleet(north=(8, 8, 9), south=(9, 9))).message
    assert " 1 pull stopped at a bound or for lack of space, the last one of north on 2026-03-10: " in message


class TestMissing:
    def test_passes_if_every_day_since_an_accounts_first_is_published(self, fleet):
        found = no_day_is_missing(fleet(north=(8, 8, 9), south=(9, 9, 10)))
        assert found.passed
        assert (found.figures["published"], found.figures["missing"]) == (4, 0)

    def test_fails_for_a_recent_day_and_counts_failed_runs_separately(self, fleet):
        found = no_day_is_missing(
            fleet(failed=[("north", date(2026, 3, 8)), ("north", date(2026, 3, 10))], north=(6, 6, 9))
        )
        assert not found.passed
        assert {name: found.figures[name] for name in ("missing", "failed", "never_asked")} == {
            "missing": 2,
            "failed": 1,
            "never_asked": 1,
        }
        (row,) = found.rows
        assert row == {
            "account_id": "north",
            "status": "active",
            "missing": 2,
            "failed": 1,
            "first": "2026-03-07",
            "last": "2026-03-08",
        }

    def test_counts_the_days_of_a_disconnected_account_and_passes(self, fleet, files):
        fleet(north=(9, 9))
        Registry(files.data).sync([LOST], integrations=(), day=START)
        found = no_day_is_missing(fleet())
        assert (found.passed, found.figures["missing"], found.rows[0]["status"]) == (True, 9, "needs_reauth")

    def test_counts_older_missing_days_and_passes(self, fleet):
        found = no_day_is_missing(fleet(north=(1, 1, 3, 4, 5, 6, 7, 8, 9)))
        assert (found.passed, found.figures["missing"]) == (True, 1)

    def test_counts_the_days_of_a_removed_account_up_to_its_last_day(self, fleet, files):
        fleet(north=(1, 1, 2, 4))
        Registry(files.data).remove("north", last_day=date(2026, 3, 4))
        found = no_day_is_missing(fleet())
        assert (found.figures["missing"], found.rows[0]["last"]) == (1, "2026-03-03")


class TestConnected:
    def test_passes_if_all_are_active_or_removed(self, fleet, files):
        fleet(north=(1,), south=(1,))
        Registry(files.data).remove("south", last_day=START)
        found = accounts_are_connected(fleet())
        assert (found.passed, found.message) == (True, "0 of 1 account can't be pulled.")

    def test_fails_with_the_accounts_that_have_to_be_connected_again(self, fleet, files):
        Registry(files.data).sync([LOST], integrations=(), day=date(2026, 3, 9))
        found = accounts_are_connected(fleet())
        assert not found.passed
        assert [(row["account_id"], row["status"]) for row in found.rows] == [("lost", "needs_reauth")]


class TestNobodyActive:
    """Without an active account nothing is pulled, and no failed run says so."""

    @pytest.fixture(params=["no account", "removed", "gone", "needs_reauth"])
    def nobody(self, request, fleet, files):
        registry = Registry(files.data)
        if request.param == "removed":
            fleet(north=(8, 8, 9))
            registry.remove("north", last_day=date(2026, 3, 9))
        elif request.param == "gone":
            active = IntegratedAccount(id="lost", integration=LOST.integration)
            registry.sync([active], integrations=(), day=date(2026, 3, 9))
            registry.sync([], integrations=(), day=date(2026, 3, 9), allow_drop=True)
        elif request.param == "needs_reauth":
            registry.sync([LOST], integrations=(), day=date(2026, 3, 9))
        return fleet()

    @pytest.mark.parametrize("check", [accounts_are_fresh, no_day_is_missing, accounts_are_connected])
    def test_fails_every_check_of_active_accounts(self, nobody, check):
        found = check(nobody)
        assert not found.passed
        assert found.message.startswith(
            "No account is active, so nothing is pulled: run `lms-pipeline accounts sync`, or connect them again in Truto."
        )


class TestListed:
    REFUSAL = Refusal("Truto lists no account.", NOW)

    def test_passes_if_no_list_was_refused(self, fleet):
        found = accounts_are_listed(fleet(north=(1,)))
        assert (found.passed, found.message) == (True, "The latest list of accounts was used.")

    def test_fails_with_the_reason_of_the_refusal_and_its_time(self, fleet, files):
        path = files.data.accounts_refused
        fleet(north=(1,))
        path.write_bytes(msgspec.json.encode(self.REFUSAL))
        found = accounts_are_listed(fleet())
        assert (found.passed, found.message) == (False, "Since 2026-03-11 02:00 UTC: Truto lists no account.")


class TestPartitions:
    def test_are_accounts_times_days_and_pass_if_they_are_few(self, fleet):
        found = partitions_are_few(fleet(north=(1,), south=(1,)))
        assert (found.passed, found.figures["partition_keys"]) == (True, 20)
        assert found.message == ("2 accounts x 10 days are 20 partition keys; Dagster advises 100,000 at most.")

    def test_fail_above_four_fifths_of_what_is_advised_with_what_to_do(self, fleet):
        many = fleet(north=(1,))
        object.__setattr__(many, "partitions", PartitionKeyCount(300, 267))
        found = partitions_are_few(many)
        assert not found.passed
        assert found.message.endswith(
            "at most: list fewer days with LMS_PARTITION_DAYS, or give part of the accounts an LMS_DATA_DIR of their own."
        )
