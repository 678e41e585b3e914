"""How `auto` selects the strategy of an account, and what it remembers."""

from __future__ import annotations

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.sandbox import running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.pair_account import (
    COURSES,
    LEARNERS,
    LIST_PAGES,
    PAIRS,
    PairAccount,
    build_expected_rows,
    read_stored_rows,
)
from lms_pipeline_tests.support.portal import Portal
from lms_pipeline_tests.support.scripted_api import ReceivedRequest, ScriptedResponse, page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner


def test_auto_selects_rosters_when_they_cost_fewer_calls(account, portal):
    result = account.run_day(0, options={"strategy": "auto"})
    assert result.choice.name == "roster"
    assert result.choice.why == (
        f"its metadata require user[id] and course[id]; {COURSES} courses with rosters, {LEARNERS} users with their courses: "
        "the rosters cost fewer calls"
    )
    assert account.count_calls().total() == 1 + 1 + LIST_PAGES + COURSES + PAIRS
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)


@pytest.mark.parametrize(("rosters", "courses", "selected"), [(False, True, "learner"), (False, False, "pairs")])
def test_auto_selects_the_strategy_that_the_roster_responses_allow(account, portal, rosters, courses, selected):
    portal.with_rosters, portal.with_courses = rosters, courses
    assert account.run_day(0, options={"strategy": "auto"}).choice.name == selected
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)


def test_auto_selects_learners_when_they_cost_little_more_since_their_entries_hold_more(tmp_path):
    portal = Portal(learners=12, courses=10, each=2)
    with running(portal) as sandbox:
        assert PairAccount(tmp_path, portal, sandbox).run_day(0, options={"strategy": "auto"}).choice.name == "learner"


def test_auto_uses_the_remembered_choice_without_a_probe_and_selects_again_when_it_fails(account, portal):
    remembered = Choice("learner", "the remembered reason")
    result = account.run_day(0, options={"strategy": "auto"}, remembered=remembered)
    assert (result.choice.name, result.choice.why) == ("learner", "the remembered reason")
    assert account.count_calls().total() == LIST_PAGES + LEARNERS + PAIRS
    portal.with_courses = False
    assert account.run_day(1, options={"strategy": "auto"}, remembered=remembered).choice.name == "roster"


def test_auto_learns_the_required_pair_from_the_refusal_when_metadata_are_missing(account):
    account.sandbox.fault(Status(status=404, route="/unified/lms/{resource}/meta/{method}"))
    result = account.run_day(0, options={"strategy": "auto"})
    assert result.choice.why.startswith("its LMS requires user[id] and course[id]; ")


def test_auto_probes_further_courses_and_users_when_the_first_are_gone(account, portal):
    for resource in ("courses", "users"):
        route = f"/unified/lms/{resource}/{{id}}"
        account.sandbox.fault(Status(status=404, remote=True, route=route, times=2))
    result = account.run_day(0, options={"strategy": "auto"})
    assert (result.choice.name, result.choice.is_settled, result.pairs.gone) == ("roster", True, 2)


def test_auto_does_not_settle_on_a_choice_without_a_roster_entry(tmp_path):
    with running(Portal(learners=0, courses=3, each=0)) as sandbox:
        result = PairAccount(tmp_path, Portal(0, 3, 0), sandbox).run_day(0, options={"strategy": "auto"})
    assert not result.choice.is_settled


def test_auto_does_not_sweep_only_because_the_metadata_require_nothing(tmp_path):
    pair = ["user[id]", "course[id]"]
    insight = {"missing_required_query_parameters": {"value": pair}}

    def respond(request: ReceivedRequest) -> ScriptedResponse:
        if "/meta/" in request.path:
            return ScriptedResponse(b'{"query_schema": {}}')
        if request.path.endswith("course-enrollments"):
            return page() if "user" in request.target else refusal(400, truto_error_insight=insight)
        return page()

    with serve(respond) as server:
        options = AccountOptions(strategy="auto")
        result = SnapshotRunner(tmp_path, server.url).run(identity="pair", options=options)
    assert result.choice.why.startswith("its LMS requires user[id] and course[id]")
