"""How the strategy is chosen where nobody set one."""

from __future__ import annotations

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.sandbox import running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.pair_account import COURSES, LEARNERS, LISTS, PAIRS, Days, expected, stored
from lms_pipeline_tests.support.portal import Portal
from lms_pipeline_tests.support.scripted_api import ReceivedRequest, ScriptedResponse, page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import Taker


def test_auto_goes_by_rosters_where_they_cost_fewer_calls(days, portal):
    report = days.take(0, options={"strategy": "auto"})
    assert report.choice.name == "roster"
    assert report.choice.why == (
        f"its metadata require user[id] and course[id]; {COURSES} courses with rosters, {LEARNERS} users with their courses: "
        "the rosters cost fewer calls"
    )
    assert days.asked().total() == 1 + 1 + LISTS + COURSES + PAIRS
    assert stored(days, 0) == expected(portal, 0)


@pytest.mark.parametrize(
    ("rosters", "courses", "chosen"), [(False, True, "learner"), (False, False, "pairs")]
)
def test_auto_goes_by_what_the_details_tell(days, portal, rosters, courses, chosen):
    portal.with_rosters, portal.with_courses = rosters, courses
    assert days.take(0, options={"strategy": "auto"}).choice.name == chosen
    assert stored(days, 0) == expected(portal, 0)


def test_auto_goes_by_users_where_they_cost_little_more_since_they_tell_more(tmp_path):
    portal = Portal(learners=12, courses=10, each=2)
    with running(portal) as sandbox:
        assert Days(tmp_path, portal, sandbox).take(0, options={"strategy": "auto"}).choice.name == "learner"


def test_auto_takes_what_it_chose_before_without_asking_and_chooses_again_where_that_fails(days, portal):
    remembered = Choice("learner", "so it was chosen")
    report = days.take(0, options={"strategy": "auto"}, remembered=remembered)
    assert (report.choice.name, report.choice.why) == ("learner", "so it was chosen")
    assert days.asked().total() == LISTS + LEARNERS + PAIRS
    portal.with_courses = False
    assert days.take(1, options={"strategy": "auto"}, remembered=remembered).choice.name == "roster"


def test_auto_finds_out_from_the_refusal_where_there_are_no_metadata(days):
    days.sandbox.fault(Status(status=404, route="/unified/lms/{resource}/meta/{method}"))
    report = days.take(0, options={"strategy": "auto"})
    assert report.choice.why.startswith("its LMS requires user[id] and course[id]; ")


def test_auto_looks_on_where_the_first_courses_and_users_are_gone(days, portal):
    for resource in ("courses", "users"):
        route = f"/unified/lms/{resource}/{{id}}"
        days.sandbox.fault(Status(status=404, remote=True, route=route, times=2))
    report = days.take(0, options={"strategy": "auto"})
    assert (report.choice.name, report.choice.is_settled, report.pairs.gone) == ("roster", True, 2)


def test_auto_that_saw_nothing_is_not_remembered(tmp_path):
    with running(Portal(learners=0, courses=3, each=0)) as sandbox:
        report = Days(tmp_path, Portal(0, 3, 0), sandbox).take(0, options={"strategy": "auto"})
    assert not report.choice.is_settled


def test_auto_does_not_sweep_because_the_metadata_require_nothing(tmp_path):
    pair = ["user[id]", "course[id]"]
    insight = {"missing_required_query_parameters": {"value": pair}}

    def answer(asked: ReceivedRequest) -> ScriptedResponse:
        if "/meta/" in asked.path:
            return ScriptedResponse(b'{"query_schema": {}}')
        if asked.path.endswith("course-enrollments"):
            return page() if "user" in asked.target else refusal(400, truto_error_insight=insight)
        return page()

    with serve(answer) as server:
        options = AccountOptions(strategy="auto")
        report = Taker(tmp_path, server.url).take(identity="pair", options=options)
    assert report.choice.why.startswith("its LMS requires user[id] and course[id]")
