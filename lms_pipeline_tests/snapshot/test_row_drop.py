"""A snapshot that is far smaller than the one before it."""

from contextlib import contextmanager
from datetime import timedelta

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake.publishing import RowDrop, RowDropError
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import DAY, OPEN, Taker, record

NEXT_DAY, NEXT_OPEN = DAY + timedelta(days=1), OPEN + timedelta(days=1)
LARGE_PAGES = AccountOptions(page_size=500)


class Account:
    """An account with as many enrollments as the test says, and the paths that it was asked for."""

    def __init__(self, enrollments):
        self.enrollments = enrollments
        self.asked = 0
        self.requests = 0

    def __call__(self, asked):
        if "/meta/" in asked.path:
            return refusal(404)
        if not asked.path.endswith("course-enrollments"):
            return page()
        self.asked += 1
        return page(*(record(f"u{number}") for number in range(self.enrollments)))


@contextmanager
def day_before(folder, account):
    """A taker whose account has a snapshot of the day before."""
    with serve(account) as server:
        taker = Taker(folder, server.url)
        account.requests = taker.take(run_id="before", options=LARGE_PAGES).requests
        yield taker


def take(taker, **more):
    options = more.pop("options", LARGE_PAGES)
    return taker.take(day=NEXT_DAY, now=NEXT_OPEN, options=options, run_id="after", **more)


def published(taker):
    return taker.file("unified_enrollments", NEXT_DAY).exists()


def test_more_than_half_of_the_enrollments_gone_is_refused_in_one_sentence(tmp_path):
    account = Account(100)
    with day_before(tmp_path, account) as taker:
        account.enrollments = 49
        with pytest.raises(RowDropError) as refused:
            take(taker)
    assert str(refused.value) == (
        "acme on 2026-03-02 would have 49 enrollments where 2026-03-01 has 100: a drop of 51%, and max_drop is 50%; "
        "nothing was published. If they are really gone, run it once with `--allow-drop`, or with allow_drop in the "
        "UI's launchpad."
    )
    assert not published(taker)


def test_half_of_them_gone_is_published(tmp_path):
    account = Account(100)
    with day_before(tmp_path, account) as taker:
        account.enrollments = 50
        take(taker)
    assert published(taker)


def test_an_account_may_allow_more_of_it(tmp_path):
    account = Account(100)
    with day_before(tmp_path, account) as taker:
        account.enrollments = 0
        take(taker, options=AccountOptions(max_drop=1))
    assert published(taker)


def test_few_enrollments_may_all_go(tmp_path):
    account = Account(19)
    with day_before(tmp_path, account) as taker:
        account.enrollments = 0
        take(taker)
    assert published(taker)


@pytest.fixture
def refused(tmp_path):
    """An account with one of its hundred enrollments left, and the taker whose snapshot of that was refused."""
    account = Account(100)
    with day_before(tmp_path, account) as taker:
        account.enrollments = 1
        with pytest.raises(RowDropError):
            take(taker)
        yield account, taker


def test_a_single_run_may_be_told_that_they_are_really_gone_and_takes_the_answers_that_were_refused(refused):
    account, taker = refused
    asked = account.asked
    take(taker, allow_drop=True)
    assert published(taker)
    assert account.asked == asked


def test_the_next_run_asks_anew_instead_of_believing_what_was_refused(refused):
    account, taker = refused
    account.enrollments = 100
    assert take(taker).rows.served == 100
    assert published(taker)


def test_the_requests_of_what_was_refused_count_on(refused):
    account, taker = refused
    account.enrollments = 100
    assert take(taker).requests == 2 * account.requests


def test_a_damaged_snapshot_before_it_is_not_compared(tmp_path):
    account = Account(100)
    with day_before(tmp_path, account) as taker:
        taker.file("unified_enrollments", DAY).write_bytes(b"no Parquet")
        account.enrollments = 1
        take(taker)
    assert published(taker)


@pytest.mark.parametrize(
    ("rows", "before", "share"),
    [(60, 100, 0.4), (100, 100, 0.0), (120, 100, 0.0), (0, 20, 1.0), (0, 19, 0.0)],
)
def test_the_share_is_of_the_rows_before(rows, before, share):
    assert RowDrop(rows, before, DAY).share == pytest.approx(share)
