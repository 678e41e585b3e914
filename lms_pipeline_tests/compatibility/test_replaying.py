"""Days of a data directory that commit a4277a4 wrote, replayed from their kept responses."""

from __future__ import annotations

import pytest

from lms_pipeline import lake
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.older_data import (
    ACADEMY,
    BRANCH,
    EXPECTED,
    FIRST,
    METRICS,
    PORTAL,
    PUBLISHED,
    PULLED,
    SECOND,
    THIRD,
    Outcome,
    hash_rows,
    night_after,
)

REPLAYED = choose([(ACADEMY, FIRST), (PORTAL, SECOND), (BRANCH, SECOND)], PUBLISHED)
"""A day of each strategy: a first one, and two with carried enrollments."""


@pytest.fixture(scope="module")
def replayed(copy_directory, truto) -> Outcome:
    """The data directory after a replay of each of `REPLAYED`. Read-only."""
    directory, requests = copy_directory("replayed"), []
    for account_id, day in REPLAYED:
        done = directory.run(night_after(THIRD), "replay", "--account", account_id, "--date", str(day))
        assert done.status == 0, done.output
        requests += truto.requests
    return Outcome(directory, requests)


@pytest.mark.parametrize(("account_id", "day"), REPLAYED)
def test_a_replay_gives_the_same_digests(replayed, account_id, day):
    expected = EXPECTED["published"][f"{account_id} {day}"]
    assert replayed.directory.read_digests(account_id, day, PULLED) == {name: expected[name] for name in PULLED}


@pytest.mark.parametrize(("account_id", "day"), REPLAYED)
def test_metrics_of_a_replayed_day_have_the_same_digests(replayed, account_id, day):
    expected = EXPECTED["published"][f"{account_id} {day}"]
    assert replayed.directory.read_digests(account_id, day, METRICS) == {name: expected[name] for name in METRICS}
    source = replayed.directory.read_metadata("account_completion", account_id, day)["source_run_id"]
    assert source == replayed.directory.read_metadata("unified_enrollments", account_id, day)["run_id"]
    assert source.startswith("replay-")


@pytest.mark.parametrize("table", ["raw_enrollments", "unified_enrollments", "rejected_enrollments", *METRICS])
def test_a_replay_gives_the_same_rows_in_the_same_order(replayed, table):
    rows = lake.read(table, data_dir=replayed.directory.root)
    expected = EXPECTED["read"][table]
    assert hash_rows(rows.select(expected["columns"])) == expected["hash"]


def test_a_replay_sends_no_request(replayed):
    assert replayed.requests == []
