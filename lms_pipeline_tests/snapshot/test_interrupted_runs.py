"""Retries of runs whose process died after their snapshot was published: no call is made again."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.snapshot import stages
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline_tests.support.pair_account import COURSES, LIST_PAGES, PAIRS, PairAccount
from lms_pipeline_tests.support.portal import PORTAL

TABLES = [table.name for table in PULLED_TABLES]


class Killed(BaseException):
    """The death of the process."""


def die(*_args, **_more):
    raise Killed


MOMENTS = {
    "before the fingerprints": lambda patch: patch.setattr(stages, "write_fingerprints", die),
    "before the attempt is finished": lambda patch: patch.setattr(Attempt, "finish", die),
    "after the pull": lambda _patch: None,
}


@pytest.fixture(scope="module", params=list(MOMENTS.values()), ids=list(MOMENTS))
def interrupted_data(request, tmp_path_factory, portal, serving):
    """The data directory of an account whose run `first` died after it published day 0."""
    root = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        request.param(patch)
        with suppress(Killed):
            PairAccount(root, portal, serving).run_day(0, run_id="first")
    return root


@pytest.fixture
def interrupted(account, interrupted_data):
    """An account with a copy of that data."""
    shutil.copytree(interrupted_data, account.runner.root, dirs_exist_ok=True)
    account.sandbox.clear_counts()
    return account


def read_digests(account):
    from lms_pipeline.lake.files import read_metadata

    return [read_metadata(account.runner.file(name, account.date(0), PORTAL))["digest"] for name in TABLES]


def read_run_ids(account):
    from lms_pipeline.lake.files import read_metadata

    return {read_metadata(account.runner.file(name, account.date(0), PORTAL))["run_id"] for name in TABLES}


@pytest.fixture(scope="module")
def retry(tmp_path_factory, portal, serving, interrupted_data):
    """The data directory after a retry, its result and its number of calls: once for each moment. Read-only."""
    root = tmp_path_factory.mktemp("retried")
    shutil.copytree(interrupted_data, root, dirs_exist_ok=True)
    account = PairAccount(root, portal, serving)
    result = account.run_day(0, run_id="second", interrupted_runs=["first"])
    return root, result, account.count_calls().total()


@pytest.fixture
def retried(interrupted, retry):
    """The account with a copy of the data after the retry."""
    shutil.rmtree(interrupted.runner.root)
    shutil.copytree(retry[0], interrupted.runner.root)
    return interrupted


def test_a_retry_publishes_the_same_snapshot_without_a_call(interrupted, retry, portal, serving):
    root, result, calls = retry
    assert calls == 0
    assert (result.was_published, result.kept) == (True, False)
    retried = PairAccount(root, portal, serving)
    assert read_digests(retried) == read_digests(interrupted)
    assert read_run_ids(retried) == {"second"}


def test_a_retry_leaves_the_next_day_as_cheap_as_an_undisturbed_run_does(retried):
    result = retried.run_day(1, options={"rotation_days": 0})
    assert result.pairs.planned["new"] == 0
    assert retried.path("details", 0).exists()


def test_the_retry_of_a_retry_makes_no_call(retried):
    result = retried.run_day(0, run_id="third", interrupted_runs=["first", "second"])
    assert retried.count_calls().total() == 0
    assert result.was_published
    assert read_run_ids(retried) == {"third"}


def test_a_retry_keeps_the_snapshot_if_its_responses_are_gone(interrupted):
    before = read_digests(interrupted)
    for path in interrupted.runner.data.checkpoints.rglob("*.sqlite*"):
        path.unlink()
    result = interrupted.run_day(0, run_id="second", interrupted_runs=["first"])
    assert interrupted.count_calls().total() == 0
    assert (result.was_published, result.kept) == (True, True)
    assert [one.table.name for one in result.published] == TABLES
    assert (read_digests(interrupted), read_run_ids(interrupted)) == (before, {"first"})


def test_a_retry_after_the_grace_period_makes_no_call(interrupted):
    later = datetime.combine(interrupted.date(3), datetime.min.time(), UTC)
    result = interrupted.runner.run(
        account_id=PORTAL, day=interrupted.date(0), now=later, run_id="second", interrupted_runs=["first"]
    )
    assert result.was_published


def test_another_run_of_the_day_pulls_again(pulled):
    result = pulled.run_day(0, run_id="second")
    assert pulled.count_calls().total() == LIST_PAGES + COURSES + PAIRS
    assert result.was_published is False


def test_a_retry_of_a_run_that_did_not_publish_pulls(pulled):
    result = pulled.run_day(0, run_id="second", interrupted_runs=["first"])
    assert pulled.count_calls().total() > 0
    assert result.was_published is False


@pytest.mark.parametrize("tables", [["learners"], ["learners", "courses"]])
def test_a_retry_of_lists_only_keeps_them_without_a_call(account, tables):
    account.run_day(0, run_id="first", tables=tables)
    result = account.run_day(0, run_id="second", tables=tables, interrupted_runs=["first"])
    assert account.count_calls().total() == 0
    assert sorted(one.table.name for one in result.published) == sorted(tables)
    assert result.kept


def test_a_retry_of_lists_of_which_one_was_published_pulls_them(account):
    account.run_day(0, run_id="first", tables=["learners"])
    result = account.run_day(0, run_id="second", tables=["learners", "courses"], interrupted_runs=["first"])
    assert account.count_calls().total() > 0
    assert result.was_published is False


def test_a_damaged_snapshot_is_pulled_again(pulled):
    pulled.path("unified", 0).write_bytes(b"PAR1")
    result = pulled.run_day(0, run_id="second", interrupted_runs=["day-0"])
    assert pulled.count_calls().total() > 0
    assert result.was_published is False
