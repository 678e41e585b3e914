"""Which days of the portfolio are computed again: after late, repeated, removed and damaged days, and only those."""

import os
from datetime import date

import pytest

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.metrics.portfolio import publish_portfolio
from lms_pipeline.metrics.portfolio_days import (
    MARK,
    describe_origin,
    find_portfolio_changes,
    remember_changes,
    remove_day,
)
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline_tests.support.index_marks import replace_marks
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, publish
from lms_pipeline_tests.support.parquet_damage import truncate


def register(*account_ids, first_day=FIRST, last_day=None):
    return [
        RegisteredAccount(id=account_id, name=account_id, first_day=first_day, last_day=last_day)
        for account_id in account_ids
    ]


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def publish_account(data, account, *days, n_all=1):
    for day in days:
        publish(data, account, day, {"n_all": n_all}, table=ACCOUNT_COMPLETION)


def refresh(data, accounts):
    """Bring the portfolio up to date, and return the days that were computed."""
    changes = find_portfolio_changes(data, accounts)
    for day, origin in changes.outdated.items():
        publish_portfolio(data, day, accounts, run_id="run-1", origin=origin)
    for day in changes.orphaned:
        remove_day(data, day)
    return list(changes.outdated)


def read_days(data):
    rows = read("portfolio_completion", data_dir=data.root).to_pylist()
    return {row["snapshot_date"]: (row["n_all"], row["accounts"], row["accounts_missing"]) for row in rows}


@pytest.fixture
def computed(data):
    """Two accounts with two days each, and the portfolio of both days."""
    for account, n_all in (("acme", 3), ("beta", 40)):
        publish_account(data, account, FIRST, SECOND, n_all=n_all)
    refresh(data, BOTH)
    return data


BOTH = register("acme", "beta")


def test_the_first_time_all_days_are_computed_the_oldest_first(data):
    publish_account(data, "acme", THIRD, FIRST, SECOND)
    assert list(find_portfolio_changes(data, BOTH).outdated) == [FIRST, SECOND, THIRD]


def test_without_a_change_nothing_is_computed(computed):
    assert refresh(computed, BOTH) == []
    assert read_days(computed) == {FIRST: (43, 2, 0), SECOND: (43, 2, 0)}


@pytest.mark.parametrize("text", ["{}", "no JSON"])
def test_after_another_version_a_new_day_is_computed(computed, text):
    remember_changes(computed, find_portfolio_changes(computed, BOTH))
    replace_marks(computed, MARK, text)
    publish_account(computed, "acme", THIRD)
    assert refresh(computed, BOTH) == [THIRD]


@pytest.mark.parametrize("damage", ["no file", "a file instead of the folder"])
def test_the_origin_of_a_single_day_is_that_of_all_days(computed, damage):
    day_of_beta = computed.file(ACCOUNT_COMPLETION, Partition("beta", SECOND))
    day_of_beta.unlink()
    if damage != "no file":
        day_of_beta.parent.rmdir()
        day_of_beta.parent.write_bytes(b"")
    publish_account(computed, "acme", SECOND, n_all=9)
    origin = describe_origin(computed, BOTH, SECOND)
    assert find_portfolio_changes(computed, BOTH).outdated == {SECOND: origin}


def test_a_new_day_computes_that_day_only(computed):
    publish_account(computed, "acme", THIRD, n_all=5)
    assert refresh(computed, BOTH) == [THIRD]
    assert read_days(computed)[THIRD] == (5, 1, 1)


def test_a_late_day_of_an_account_computes_that_day_again(computed):
    publish_account(computed, "acme", THIRD, n_all=5)
    refresh(computed, BOTH)
    publish_account(computed, "beta", THIRD, n_all=60)
    assert refresh(computed, BOTH) == [THIRD]
    assert read_days(computed)[THIRD] == (65, 2, 0)


def test_a_day_that_is_computed_again_computes_that_day_of_the_portfolio_again(computed):
    publish_account(computed, "acme", FIRST, n_all=7)
    assert refresh(computed, BOTH) == [FIRST]
    assert read_days(computed) == {FIRST: (47, 2, 0), SECOND: (43, 2, 0)}


def test_a_file_of_the_same_size_and_time_is_another_file(computed):
    path = computed.file(ACCOUNT_COMPLETION, Partition("acme", FIRST))
    before = path.stat()
    publish_account(computed, "acme", FIRST, n_all=8)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert refresh(computed, BOTH) == [FIRST]


def test_another_table_of_the_day_computes_nothing(computed):
    publish(computed, "acme", FIRST, {"course_id": "c1"}, table=COURSE_COMPLETION)
    assert refresh(computed, BOTH) == []


def test_a_file_that_is_not_published_computes_nothing(computed):
    computed.unpublished_file(ACCOUNT_COMPLETION, Partition("acme", THIRD), "run-2").parent.mkdir()
    computed.unpublished_file(ACCOUNT_COMPLETION, Partition("acme", THIRD), "run-2").write_bytes(b"half")
    assert refresh(computed, BOTH) == []


def test_an_account_whose_day_is_removed_is_missing_from_that_day(computed):
    computed.file(ACCOUNT_COMPLETION, Partition("beta", SECOND)).unlink()
    assert refresh(computed, BOTH) == [SECOND]
    assert read_days(computed) == {FIRST: (43, 2, 0), SECOND: (3, 1, 1)}


def test_the_day_of_no_account_is_removed(computed):
    for account in ("acme", "beta"):
        computed.file(ACCOUNT_COMPLETION, Partition(account, SECOND)).unlink()
    assert find_portfolio_changes(computed, BOTH).orphaned == [SECOND]
    refresh(computed, BOTH)
    assert set(read_days(computed)) == {FIRST}
    assert not computed.file(PORTFOLIO_COMPLETION, DayPartition(SECOND)).parent.exists()


def test_a_damaged_account_does_not_stop_the_others_and_is_missing(computed):
    path = computed.file(ACCOUNT_COMPLETION, Partition("beta", FIRST))
    truncate(path)
    assert refresh(computed, BOTH) == [FIRST]
    assert read_days(computed)[FIRST] == (3, 1, 1)
    publish_account(computed, "beta", FIRST, n_all=41)
    assert refresh(computed, BOTH) == [FIRST]
    assert read_days(computed)[FIRST] == (44, 2, 0)


def test_a_damaged_portfolio_is_computed_again(computed):
    truncate(computed.file(PORTFOLIO_COMPLETION, DayPartition(SECOND)))
    assert refresh(computed, BOTH) == [SECOND]


@pytest.mark.parametrize(
    ("account", "outdated"),
    [
        (register("late", first_day=SECOND), [SECOND]),
        (register("later", first_day=THIRD), []),
        (register("gone", first_day=date(2026, 1, 1), last_day=FIRST), [FIRST]),
        (register("long-gone", first_day=date(2026, 1, 1), last_day=date(2026, 2, 28)), []),
    ],
    ids=["begins with the second day", "begins later", "ended with the first day", "ended before"],
)
def test_a_registered_account_computes_the_days_that_it_lacks(computed, account, outdated):
    accounts = [*BOTH, *account]
    assert refresh(computed, accounts) == outdated
    assert {day for day, (_, _, missing) in read_days(computed).items() if missing} == set(outdated)
