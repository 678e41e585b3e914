"""How long things are kept, counted by hand."""

from datetime import UTC, date, datetime, timedelta

import pytest

from lms_pipeline.housekeeping.policy import RetentionPolicy, first_kept

TODAY = date(2026, 3, 31)
NOW = datetime(2026, 4, 1, 1, 30, tzinfo=UTC)


def rules(**more):
    return RetentionPolicy(today=TODAY, now=NOW, **more)


@pytest.mark.parametrize(
    ("days", "first"), [(0, TODAY), (1, date(2026, 3, 30)), (30, date(2026, 3, 1)), (10**9, date.min)]
)
def test_days_are_counted_back_from_today_as_far_as_there_are_any(days, first):
    assert first_kept(TODAY, days) == first


def test_answers_are_kept_for_thirty_days_where_nothing_else_is_set():
    assert rules().keeps_answers("acme", date(2026, 3, 1))
    assert not rules().keeps_answers("acme", date(2026, 2, 28))


def test_answers_are_kept_for_the_days_of_their_own_account():
    of_acme = rules(answer_days={"acme": 5})
    assert not of_acme.keeps_answers("acme", date(2026, 3, 25))
    assert of_acme.keeps_answers("acme", date(2026, 3, 26))
    assert of_acme.keeps_answers("other", date(2026, 3, 25))


def test_answers_of_the_last_day_are_kept_in_any_case():
    assert rules(answer_days={"acme": 0}).keeps_answers("acme", date(2026, 3, 30))


def test_the_latest_details_are_kept_for_whenever_the_account_is_pulled_again():
    assert rules().keeps_details("acme", date(2025, 1, 1), is_latest=True)
    assert not rules().keeps_details("acme", date(2025, 1, 1), is_latest=False)


def test_the_latest_details_of_an_account_that_left_go_with_its_answers():
    assert not rules(left={"acme"}).keeps_details("acme", date(2026, 2, 28), is_latest=True)
    assert rules(left={"acme"}).keeps_details("acme", date(2026, 3, 1), is_latest=True)


def test_payloads_are_kept_for_the_days_that_are_set_or_for_ever():
    assert rules(rejected_days=90).keeps_payloads(date(2025, 12, 31))
    assert not rules(rejected_days=90).keeps_payloads(date(2025, 12, 30))
    assert rules(rejected_days=0).keeps_payloads(date(2014, 1, 1))


def test_what_was_changed_within_two_days_may_have_somebody_at_it():
    assert not rules().is_over(NOW - timedelta(days=2))
    assert rules().is_over(NOW - timedelta(days=2, seconds=1))


def test_a_counter_is_unused_after_thirty_days_without_a_call():
    assert not rules().is_unused(NOW - timedelta(days=30))
    assert rules().is_unused(NOW - timedelta(days=30, seconds=1))
