"""Accounts that a strategy does not fit, and ids that are hard to ask for."""

from __future__ import annotations

import pytest

from lms_pipeline.extract.strategies import ListNotOfferedError, NoRosterError
from lms_pipeline.sandbox import running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.pair_account import Days, expected, stored
from lms_pipeline_tests.support.portal import Portal


@pytest.mark.parametrize(
    ("strategy", "resource"),
    [("roster", "courses"), ("learner", "users"), ("pairs", "users")],
)
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_list_that_a_strategy_goes_by_is_not_taken_for_empty(days, strategy, resource, status):
    days.sandbox.fault(Status(status=status, route=f"/unified/lms/{resource}"))
    with pytest.raises(
        ListNotOfferedError, match=rf"^The LMS of account portal gives no list of its {resource}"
    ):
        days.take(0, options={"strategy": strategy})
    assert days.taker.visible() == []


@pytest.mark.parametrize(
    ("strategy", "says"),
    [("roster", "come without their rosters"), ("learner", "come without their courses")],
)
def test_a_strategy_that_does_not_fit_is_an_error_that_names_others(days, portal, strategy, says):
    portal.with_rosters = portal.with_courses = False
    with pytest.raises(NoRosterError, match=says):
        days.take(0, options={"strategy": strategy})


HOSTILE = ["a/{}", "../{}", "a b {}", "{}+", "{}%", "%2F{}", "é{}", "学习{}", "a&b={}", "{}#", "{}?", '"{}"']


@pytest.mark.parametrize("strategy", ["roster", "learner", "pairs"])
def test_ids_with_anything_in_them_go_through_every_strategy(tmp_path, strategy):
    portal = Portal(learners=len(HOSTILE), courses=len(HOSTILE), each=2, ids=HOSTILE)
    with running(portal) as sandbox:
        days = Days(tmp_path, portal, sandbox)
        days.take(0, options={"strategy": strategy})
        assert stored(days, 0) == expected(portal, 0)
