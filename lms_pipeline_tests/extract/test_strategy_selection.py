"""What decides about the strategy of an account: its metadata, its list, and the rosters of its records."""

import json
from datetime import UTC, datetime

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.extract.session import FetchSession
from lms_pipeline.extract.strategies import MAX_PROBES
from lms_pipeline.extract.strategy_selection import ListIds, select_strategy
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, page, refusal

AUTO = AccountOptions(strategy="auto")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAIR = ["user[id]", "course[id]"]
DEMANDS_PAIR = refusal(400, truto_error_insight={"missing_required_query_parameters": {"value": PAIR}})
TEN = ListIds([f"u{number}" for number in range(10)], [f"c{number}" for number in range(10)])


def respond(body) -> ScriptedResponse:
    return ScriptedResponse(json.dumps(body).encode())


METADATA = respond({"query_schema": {"properties": {"user[id]": {"required": True}, "course[id]": {"required": True}}}})
GONE = refusal(404, truto_is_remote_error=True)
WITHOUT = respond({"id": "1", "remote_data": {"name": "A draft"}})
COURSE = respond({"id": "1", "remote_data": {"users": []}})
USER = respond({"id": "1", "remote_data": {"courses": []}})


@pytest.fixture
def select(tmp_path):
    """Return a function that selects the strategy of an account with these responses, and counts the requests."""

    def select(*responses, ids=TEN):
        with Checkpoint(tmp_path / "answers.sqlite") as checkpoint:
            attempt = checkpoint.begin("plan", NOON)
            client = ScriptedClient(*responses, store=attempt, now=lambda: NOON)
            choice = select_strategy(FetchSession(client, attempt), "acme", AUTO, lambda: ids)
            return choice, len(client.received)

    return select


class TestMetadata:
    def test_that_require_the_pair_decide_without_the_list(self, select):
        choice, requests = select(METADATA, COURSE, USER)
        assert choice.why.startswith("its metadata require user[id] and course[id]; ")
        assert requests == 3

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 501, 505])
    def test_that_the_account_does_not_have_leave_the_decision_to_the_list(self, select, status):
        assert select(refusal(status), page())[0].name == "sweep"

    def test_that_are_missing_leave_the_refusal_of_the_list_to_name_the_pair(self, select):
        choice, requests = select(refusal(404), DEMANDS_PAIR, COURSE, USER)
        assert choice.why.startswith("its LMS requires user[id] and course[id]; ")
        assert requests == 4

    @pytest.mark.parametrize(
        ("status", "attempts"), [(408, 6), (429, 6), (500, 6), (502, 6), (503, 4), (504, 6), (520, 6)]
    )
    def test_that_fail_for_a_moment_leave_the_decision_to_the_list_for_this_time(self, select, status, attempts):
        choice, _ = select(*[refusal(status)] * attempts, page())
        assert (choice.name, choice.is_settled) == ("sweep", False)

    def test_that_fail_once_are_requested_again(self, select):
        assert select(refusal(503), METADATA, COURSE, USER)[0].name == "learner"

    def test_that_are_missing_leave_another_refusal_of_the_list_an_error(self, select):
        with pytest.raises(PermanentError, match="status 403"):
            select(refusal(404), refusal(403))


class TestProbes:
    def test_end_at_the_first_roster(self, select):
        choice, requests = select(METADATA, COURSE, USER)
        assert (choice.name, choice.is_settled, requests) == ("learner", True, 1 + 2)

    @pytest.mark.parametrize("without", range(1, MAX_PROBES))
    def test_go_on_after_records_without_a_roster(self, select, without):
        choice, requests = select(METADATA, *[WITHOUT] * without, COURSE, *[WITHOUT] * without, USER)
        assert (choice.name, choice.is_settled) == ("learner", True)
        assert "10 courses with rosters, 10 users with their courses" in choice.why
        assert requests == 1 + 2 * (without + 1)

    def test_find_no_rosters_after_five_records_without_one(self, select):
        choice, requests = select(METADATA, *[WITHOUT] * 2 * MAX_PROBES)
        assert (choice.name, choice.is_settled, requests) == ("pairs", True, 1 + 2 * 5)

    def test_of_fewer_records_find_no_rosters_after_all_of_them(self, select):
        choice, requests = select(METADATA, *[WITHOUT] * 2, ids=ListIds(["u1"], ["c1"]))
        assert (choice.name, choice.is_settled, requests) == ("pairs", True, 3)

    def test_do_not_count_records_that_are_gone(self, select):
        missing = [GONE, WITHOUT, GONE, WITHOUT, GONE, GONE]
        choice, requests = select(METADATA, *missing, COURSE, *missing, USER)
        assert (choice.name, choice.is_settled, requests) == ("learner", True, 1 + 2 * 7)

    @pytest.mark.parametrize("existing", [0, 1, MAX_PROBES - 1])
    def test_settle_nothing_after_five_records_that_are_gone(self, select, existing):
        records = [*[WITHOUT] * existing, *[GONE] * MAX_PROBES]
        choice, requests = select(METADATA, *records, *records)
        assert (choice.name, choice.is_settled, requests) == ("pairs", False, 1 + 2 * len(records))

    def test_of_empty_lists_settle_nothing(self, select):
        choice, requests = select(METADATA, ids=ListIds([], []))
        assert (choice.name, choice.is_settled, requests) == ("pairs", False, 1)
