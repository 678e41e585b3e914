"""Pulls that end because no call is allowed for more than a minute, and the runs that continue them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta

import msgspec
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.waiting import FILE_NAME, WaitingPull, find_waiting, format_time, read_waiting, save_waiting
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.waiting import ContinuesLaterError, WaitTooLongError
from lms_pipeline_tests.support.portal import PORTAL

HOURLY = Limits(per_hour=20, hours=24)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def find_pull(account) -> WaitingPull:
    pull = read_waiting(account.runner.data, Partition(PORTAL, account.date(0)))
    assert pull is not None
    return pull


def let_an_hour_pass(account) -> None:
    """Forget the calls of the last hour, as the limiter does an hour later."""
    for path in account.runner.data.budgets.glob("hour-*"):
        path.unlink()


@pytest.fixture
def undisturbed(tmp_path_factory, portal, serving) -> int:
    """The calls of the same day without a limit."""
    from lms_pipeline_tests.support.pair_account import PairAccount

    account = PairAccount(tmp_path_factory.mktemp("undisturbed"), portal, serving)
    account.run_day(0)
    return account.count_calls().total()


def test_a_pull_by_budget_continues_until_it_is_published_without_a_call_twice(account, undisturbed):
    calls = runs = 0
    while True:
        runs += 1
        try:
            account.run_day(0, HOURLY, run_id=f"run-{runs}")
        except ContinuesLaterError:
            calls += account.count_calls().total()
            let_an_hour_pass(account)
        else:
            break
    assert calls + account.count_calls().total() == undisturbed
    assert runs == -(-undisturbed // 20)
    assert find_waiting(account.runner.data) == []


def test_the_hours_of_a_snapshot_count_over_all_its_runs(account):
    limits = Limits(per_hour=20, hours=1.5)
    with pytest.raises(ContinuesLaterError):
        account.run_day(0, limits)
    assert 3_590 < find_pull(account).spent_seconds < 3_700
    let_an_hour_pass(account)
    with pytest.raises(BudgetSpentError, match=r"The 1\.5 hours that a snapshot of portal may take are over"):
        account.run_day(0, limits, options={"when_spent": "fail"})


def test_after_the_hours_are_over_a_new_run_has_all_of_them_again(account):
    limits = Limits(per_hour=20, hours=1.5)
    for error in (ContinuesLaterError, BudgetSpentError, ContinuesLaterError):
        with pytest.raises(error):
            account.run_day(0, limits, options={"when_spent": "fail"})
        let_an_hour_pass(account)


@pytest.mark.parametrize(("hours", "lists"), [(0, 0), (3, 2)])
def test_lists_are_requested_again_only_if_the_next_run_comes_late(account, monkeypatch, hours, lists):
    """Their cursors may have expired then; the wait itself, here of an hour, does not count."""
    with pytest.raises(ContinuesLaterError):
        account.run_day(0, HOURLY)
    let_an_hour_pass(account)
    account.sandbox.clear_counts()
    later = find_pull(account).at + timedelta(hours=hours)
    monkeypatch.setattr("lms_pipeline.snapshot.run.utc_now", lambda: later)
    with pytest.raises(ContinuesLaterError):
        account.runner.run(
            account_id=PORTAL,
            day=account.date(0),
            now=datetime.combine(account.date(1), time(4), UTC),
            identity="enrollment_id",
            options=AccountOptions(page_size=500, strategy="roster"),
            limits=HOURLY,
        )
    calls = account.count_calls()
    assert calls["users"] + calls["courses"] == lists


def test_what_a_run_stores_for_people(account):
    account.sandbox.fault(Status(status=429, retry_after=3_000, remote=True, after=2))
    with pytest.raises(ContinuesLaterError):
        account.run_day(0, run_id="first")
    pull = find_pull(account)
    assert (pull.run_id, pull.responses, pull.at - pull.since) == ("first", 2, timedelta(seconds=3_000))
    assert pull.describe(UTC) == (
        f"The LMS of account portal allows the next call at {format_time(pull.at, UTC)}: the pull continues then; "
        "2 responses are kept."
    )


@pytest.mark.parametrize("is_allowed", [True, False], ids=["the next call is allowed", "it is not"])
def test_a_run_of_lists_leaves_the_wait_of_the_enrollments(account, is_allowed):
    with pytest.raises(ContinuesLaterError):
        account.run_day(0, HOURLY)
    waiting = find_pull(account)
    if is_allowed:
        let_an_hour_pass(account)
        account.run_day(0, HOURLY, run_id="lists", tables={"learners"})
    else:
        with pytest.raises(ContinuesLaterError):
            account.run_day(0, HOURLY, run_id="lists", tables={"learners"})
    assert find_pull(account) == waiting


def test_a_run_of_lists_continues_its_own_wait(account):
    account.sandbox.fault(Status(status=429, retry_after=3_000, remote=True, times=1))
    with pytest.raises(ContinuesLaterError):
        account.run_day(0, run_id="lists", tables={"learners"})
    assert find_pull(account).lists_only
    account.run_day(0, run_id="again", tables={"learners"})
    assert find_waiting(account.runner.data) == []


def test_a_wait_beyond_the_close_of_the_day_fails_in_one_sentence(account):
    account.sandbox.fault(Status(status=429, retry_after=83_000, remote=True))
    with pytest.raises(
        WaitTooLongError, match=r"^The LMS of account portal allows the next call in 23\.1 hours, after "
    ):
        account.run_day(0)
    assert find_waiting(account.runner.data) == []


def test_a_wait_ends_with_a_failure_for_another_reason(account):
    account.sandbox.fault(Status(status=429, retry_after=3_000, remote=True, times=1))
    with pytest.raises(ContinuesLaterError):
        account.run_day(0)
    account.sandbox.fault(Status(status=403))
    with pytest.raises(PermanentError):
        account.run_day(0)
    assert find_waiting(account.runner.data) == []


PULL = WaitingPull(
    account_id="acme",
    day=NOON.date(),
    run_id="run-1",
    since=NOON,
    at=NOON + timedelta(minutes=50),
    subject="The LMS of account acme",
    spent_seconds=3_000,
    responses=1_234,
)


@pytest.mark.parametrize(
    ("minutes", "is_due", "is_expected"),
    [(0, False, True), (49, False, True), (50, True, True), (54, True, True), (56, True, False), (-1, True, False)],
)
def test_a_pull_is_due_at_its_time_and_after_the_clock_was_set_back(minutes, is_due, is_expected):
    now = NOON + timedelta(minutes=minutes)
    assert (PULL.is_due(now), PULL.is_expected(now)) == (is_due, is_expected)


def test_a_time_is_rounded_up_to_minutes():
    assert format_time(NOON, UTC) == "12:00 UTC"
    assert format_time(NOON + timedelta(seconds=1), UTC) == "12:01 UTC"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b"[1]",
        json.dumps({"account_id": "../x"}).encode(),
        msgspec.json.encode(msgspec.structs.replace(PULL, account_id="other")),
        msgspec.json.encode(PULL).replace(b"T12:50:00Z", b"T12:50:00"),
    ],
)
def test_a_damaged_file_costs_nothing(tmp_path, content):
    from lms_pipeline.lake.paths import DataDir

    data = DataDir(tmp_path)
    folder = data.pull_folder(PULL.partition)
    folder.mkdir(parents=True)
    save_waiting(data, PULL)
    assert find_waiting(data) == [PULL]
    (folder / FILE_NAME).write_bytes(content)
    assert find_waiting(data) == []
