"""How long items are kept, with dates counted by hand."""

from datetime import UTC, date, datetime, timedelta

import pytest

from lms_pipeline.housekeeping.policy import RetentionPolicy, find_first_kept_day

TODAY = date(2026, 3, 31)
NOW = datetime(2026, 4, 1, 1, 30, tzinfo=UTC)


def policy(**changes):
    return RetentionPolicy(today=TODAY, now=NOW, **changes)


@pytest.mark.parametrize(
    ("days", "first"), [(0, TODAY), (1, date(2026, 3, 30)), (30, date(2026, 3, 1)), (10**9, date.min)]
)
def test_days_are_counted_back_from_today_to_the_first_of_the_calendar(days, first):
    assert find_first_kept_day(TODAY, days) == first


def test_responses_are_kept_for_30_days_by_default():
    assert policy().keeps_responses("acme", date(2026, 3, 1))
    assert not policy().keeps_responses("acme", date(2026, 2, 28))


def test_responses_are_kept_for_the_days_of_their_account():
    of_acme = policy(answer_days={"acme": 5})
    assert not of_acme.keeps_responses("acme", date(2026, 3, 25))
    assert of_acme.keeps_responses("acme", date(2026, 3, 26))
    assert of_acme.keeps_responses("other", date(2026, 3, 25))


def test_responses_of_the_latest_ended_day_are_always_kept():
    assert policy(answer_days={"acme": 0}).keeps_responses("acme", date(2026, 3, 30))


def test_the_latest_fingerprints_are_kept_for_the_next_pull():
    assert policy().keeps_roster_fingerprints("acme", date(2025, 1, 1), is_latest=True)
    assert not policy().keeps_roster_fingerprints("acme", date(2025, 1, 1), is_latest=False)


def test_the_latest_fingerprints_of_a_former_account_expire_with_its_responses():
    assert not policy(former_accounts={"acme"}).keeps_roster_fingerprints("acme", date(2026, 2, 28), is_latest=True)
    assert policy(former_accounts={"acme"}).keeps_roster_fingerprints("acme", date(2026, 3, 1), is_latest=True)


def test_payloads_are_kept_for_the_days_that_are_set_or_for_ever():
    assert policy(rejected_days=90).first_day_with_payloads == date(2025, 12, 31)
    assert policy(rejected_days=0).first_day_with_payloads is None


def test_a_file_is_abandoned_two_days_after_its_last_change():
    assert not policy().is_abandoned(NOW - timedelta(days=2))
    assert policy().is_abandoned(NOW - timedelta(days=2, seconds=1))


def test_a_counter_is_unused_after_thirty_days_without_a_call():
    assert not policy().is_unused(NOW - timedelta(days=30))
    assert policy().is_unused(NOW - timedelta(days=30, seconds=1))
