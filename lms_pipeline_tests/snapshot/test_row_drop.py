"""A snapshot that is far smaller than the previous one."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake.publishing import RowDrop, RowDropError
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


@pytest.mark.parametrize(
    ("rows", "previous", "share"),
    [
        *((60, 100, 0.4), (100, 100, 0.0), (120, 100, 0.0), (0, 20, 1.0), (0, 19, 1.0), (0, 1, 1.0), (0, 0, 0.0)),
        *((7, 10, 0.3), (2, 5, 0.6), (4, 5, 0.2)),
        *((1, 4, 0.0), (1, 2, 0.0)),  # too few to compare
    ],
)
def test_the_share_is_relative_to_the_previous_rows(rows, previous, share):
    assert RowDrop(rows, previous, DAY).share == share


@pytest.mark.parametrize(
    ("rows", "previous", "max_drop", "is_refused"),
    [
        *((0, 1, 0.5, True), (0, 4, 0.5, True), (0, 100, 0.5, True)),
        *((0, 1, 1.0, True), (0, 100, 1.0, True), (1, 100, 1.0, False)),
        *((1, 4, 0.5, False), (1, 2, 0.0, False), (3, 4, 0.0, False)),
        *((2, 5, 0.5, True), (3, 5, 0.5, False), (4, 5, 0.0, True), (5, 5, 0.0, False)),
        *((9, 19, 0.5, True), (10, 19, 0.5, False), (10, 20, 0.5, False)),
        *((7, 10, 0.3, False), (6, 10, 0.3, True)),  # 1 - 7 / 10 is above 0.3
        *((0, 0, 0.0, False), (5, 0, 0.0, False)),
    ],
)
def test_a_drop_is_refused_above_max_drop_from_five_rows_on_and_to_none_always(rows, previous, max_drop, is_refused):
    assert RowDrop(rows, previous, DAY).is_too_large(max_drop) is is_refused


@given(rows=st.integers(0, 10**7), previous=st.integers(0, 10**7), hundredths=st.integers(0, 100))
def test_whole_hundredths_are_compared_exactly(rows, previous, hundredths):
    drops_to_none = rows == 0 and previous > 0
    drops_by_more = previous >= 5 and 100 * (previous - rows) > hundredths * previous
    assert RowDrop(rows, previous, DAY).is_too_large(hundredths / 100) is (drops_to_none or drops_by_more)
