"""Accounts that a strategy does not fit, and ids with special characters."""

from __future__ import annotations

import pytest

from lms_pipeline.extract.strategies import ListNotOfferedError, NoRosterError
from lms_pipeline.sandbox import running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.pair_account import PairAccount, build_expected_rows, read_stored_rows
from lms_pipeline_tests.support.portal import Portal


@pytest.mark.parametrize(("strategy", "resource"), [("roster", "courses"), ("learner", "users"), ("pairs", "users")])
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_strategy_without_its_list_is_an_error_and_not_an_empty_snapshot(account, strategy, resource, status):
    account.sandbox.fault(Status(status=status, route=f"/unified/lms/{resource}"))
    with pytest.raises(ListNotOfferedError, match=rf"^The LMS of account portal gives no list of its {resource}"):
        account.run_day(0, options={"strategy": strategy})
    assert account.runner.list_published_tables() == []


@pytest.mark.parametrize(
    ("strategy", "message"), [("roster", "come without their rosters"), ("learner", "come without their courses")]
)
def test_a_strategy_that_does_not_fit_is_an_error_that_says_what_is_missing(account, portal, strategy, message):
    portal.with_rosters = portal.with_courses = False
    with pytest.raises(NoRosterError, match=message):
        account.run_day(0, options={"strategy": strategy})


HOSTILE_IDS = ["a/{}", "../{}", "a b {}", "{}+", "{}%", "%2F{}", "é{}", "学习{}", "a&b={}", "{}#", "{}?", '"{}"']


@pytest.mark.parametrize("strategy", ["roster", "learner", "pairs"])
def test_ids_with_special_characters_pass_through_every_strategy(tmp_path, strategy):
    portal = Portal(learners=len(HOSTILE_IDS), courses=len(HOSTILE_IDS), each=2, ids=HOSTILE_IDS)
    with running(portal) as sandbox:
        account = PairAccount(tmp_path, portal, sandbox)
        account.run_day(0, options={"strategy": strategy})
        assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)
