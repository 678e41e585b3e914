"""A snapshot that is far smaller than the previous one."""

from contextlib import contextmanager
from datetime import timedelta

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake.row_drop import RowDropError
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import DAY, OPEN, SnapshotRunner, record

NEXT_DAY, NEXT_OPEN = DAY + timedelta(days=1), OPEN + timedelta(days=1)
LARGE_PAGES = AccountOptions(page_size=500)


class Account:
    """A scripted account with a settable number of enrollments, which counts the requests for them."""

    def __init__(self, enrollments):
        self.enrollments = enrollments
        self.enrollment_requests = 0
        self.requests = 0

    def __call__(self, request):
        if "/meta/" in request.path:
            return refusal(404)
        if not request.path.endswith("course-enrollments"):
            return page()
        self.enrollment_requests += 1
        return page(*(record(f"u{number}") for number in range(self.enrollments)))


@contextmanager
def open_previous_day(folder, account):
    """Yield a runner whose account has a snapshot of the previous day."""
    with serve(account) as server:
        runner = SnapshotRunner(folder, server.url)
        account.requests = runner.run(run_id="previous", options=LARGE_PAGES).requests
        yield runner


def run_next_day(runner, **more):
    options = more.pop("options", LARGE_PAGES)
    return runner.run(day=NEXT_DAY, now=NEXT_OPEN, options=options, run_id="next", **more)


def is_published(runner):
    return runner.file("unified_enrollments", NEXT_DAY).exists()


def test_a_drop_of_more_than_half_is_refused_in_one_sentence(tmp_path):
    account = Account(100)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 49
        with pytest.raises(RowDropError) as caught:
            run_next_day(runner)
    assert str(caught.value) == (
        "acme on 2026-03-02 would have 49 enrollments where 2026-03-01 has 100: a drop of 51%, and max_drop is 50%; "
        "nothing was published. If they are really gone, run it once with `--allow-drop`, or with allow_drop in the "
        "UI's launchpad."
    )
    assert not is_published(runner)


def test_a_drop_of_half_is_published(tmp_path):
    account = Account(100)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 50
        run_next_day(runner)
    assert is_published(runner)


def test_an_account_may_allow_a_larger_drop(tmp_path):
    account = Account(100)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 1
        run_next_day(runner, options=AccountOptions(max_drop=1))
    assert is_published(runner)


@pytest.mark.parametrize("enrollments", [1, 4, 5, 19])
def test_a_drop_to_none_is_refused_however_few_there_were(tmp_path, enrollments):
    account = Account(enrollments)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 0
        with pytest.raises(RowDropError):
            run_next_day(runner)
    assert not is_published(runner)


def test_a_drop_to_none_is_refused_in_one_sentence_whatever_max_drop_is(tmp_path):
    account = Account(3)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 0
        with pytest.raises(RowDropError) as caught:
            run_next_day(runner, options=AccountOptions(max_drop=1))
    assert str(caught.value) == (
        "acme on 2026-03-02 would have no enrollment where 2026-03-01 has 3, which is refused whatever max_drop is; "
        "nothing was published. If they are really gone, run it once with `--allow-drop`, or with allow_drop in the "
        "UI's launchpad."
    )
    assert not is_published(runner)


def test_after_a_drop_to_none_was_allowed_once_the_next_day_is_not_compared(tmp_path):
    account = Account(3)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 0
        run_next_day(runner, allow_drop=True)
        later = DAY + timedelta(days=2)
        runner.run(day=later, now=OPEN + timedelta(days=2), options=LARGE_PAGES, run_id="later")
    assert runner.file("unified_enrollments", later).exists()


@pytest.fixture
def refused(tmp_path):
    """An account with one of its hundred enrollments left, and the runner whose snapshot is refused for it."""
    account = Account(100)
    with open_previous_day(tmp_path, account) as runner:
        account.enrollments = 1
        with pytest.raises(RowDropError):
            run_next_day(runner)
        yield account, runner


def test_a_run_that_allows_the_drop_publishes_the_rejected_responses_without_new_requests(refused):
    account, runner = refused
    requests = account.enrollment_requests
    run_next_day(runner, allow_drop=True)
    assert is_published(runner)
    assert account.enrollment_requests == requests


def test_the_next_run_fetches_everything_again_after_a_refusal(refused):
    account, runner = refused
    account.enrollments = 100
    assert run_next_day(runner).rows.served == 100
    assert is_published(runner)


def test_the_requests_of_a_refused_attempt_stay_counted(refused):
    account, runner = refused
    account.enrollments = 100
    assert run_next_day(runner).requests == 2 * account.requests


def test_a_damaged_previous_snapshot_is_not_compared(tmp_path):
    account = Account(100)
    with open_previous_day(tmp_path, account) as runner:
        runner.file("unified_enrollments", DAY).write_bytes(b"no Parquet")
        account.enrollments = 1
        run_next_day(runner)
    assert is_published(runner)
