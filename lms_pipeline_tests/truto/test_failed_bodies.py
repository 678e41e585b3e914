"""Bodies that say of themselves, under a success status, that the request failed: pages, lists, pairs and metadata."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import TransientError
from lms_pipeline.truto.models import read_required_parameters
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, UserFilter
from lms_pipeline.truto.request import build_metadata_request
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline_tests.support.failed_bodies import ALL, FAILURE, RAW, describe, respond, texts
from lms_pipeline_tests.support.scripted_api import ScriptedClient, page
from lms_pipeline_tests.truto.test_store import Store

PAIR = ListQuery("acme", user=UserFilter("u1"), course=CourseFilter("c1"))
ONCE = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
SIGNS: list[dict[str, Any]] = [
    {"error": "down"},
    {"error": True},
    {"error": 1},
    {"error": {"message": "down"}},
    {"error": {"code": 500, "message": None}},
    {"error": ["down"]},
    {"Error": "down"},
    {"errors": ["down"]},
    {"errors": [{"message": "down"}]},
    {"errors": {"base": ["down"]}},
    {"errors": 2},
    {"error_message": "down"},
    {"errorMessage": "down"},
    {"error_description": "down"},
    {"errorCode": "E17"},
    {"error_code": 17},
    {"exception": "java.net.SocketTimeoutException"},
    {"fault": {"faultstring": "down"}},
    {"has_errors": True},
    {"isError": "true"},
    {"failed": True},
    {"success": False},
    {"success": "false"},
    {"success": 0},
    {"Success": "No"},
    {"ok": False},
    {"isSuccess": False},
    {"succeeded": False},
    {"status": 500},
    {"status": 400.0},
    {"status": "503"},
    {"status": "503 Service Unavailable"},
    {"status": "error"},
    {"status": "Failed"},
    {"status": "FAILURE"},
    {"status": "internal_error"},
    {"status": "Bad Gateway"},
    {"status": "gateway-timeout"},
    {"status": False},
    {"status": {"code": 500, "message": "down"}},
    {"statusCode": 404},
    {"status_code": "429"},
    {"http_status": 502},
    {"httpStatusCode": 599},
    {"statusCode": "400"},
    {"error": "No errors were expected"},
    {"error": "No access"},
    {"status": "no response error"},
    {"code": 500},
    {"code": "internal_error"},
    {"type": "error"},
    {"meta": {"code": 500}},
    {"meta": {"error": "down"}},
    {"metadata": {"success": False}},
    {"truto_is_remote_error": True},
    {"truto_error_insight": {"remote_error": {"description": "down"}}},
    FAILURE,
    {"error": None, "Error": "down"},
    {"Error": "down", "error": None},
    {"error": json.loads('{"error":' * 400 + "{}" + "}" * 400)},
    {"errors": json.loads("[" * 400 + "]" * 400)},
]
"""Members of an envelope, each of which says that the request failed."""

NO_SIGNS: list[dict[str, Any]] = [
    {},
    {"error": None},
    {"error": False},
    {"error": 0},
    {"error": "", "errors": []},
    {"error": " "},
    {"error": {}},
    {"error": {"code": 0, "message": ""}},
    {"errors": None},
    {"errors": {"users": []}},
    {"error_code": 0},
    {"errorCode": "00000"},
    {"error": "none"},
    {"has_errors": False},
    {"failed": 0},
    {"success": True},
    {"success": "true"},
    {"success": 1},
    {"success": None},
    {"ok": True},
    {"status": 200},
    {"status": "200"},
    {"status": "200 OK"},
    {"status": "ok"},
    {"status": "success"},
    {"status": "completed"},
    {"status": True},
    {"status": None},
    {"status": {"code": 200}},
    {"statusCode": 200},
    {"code": 0},
    {"code": "OK"},
    {"type": "list"},
    {"meta": {"code": 200, "error": None}},
    {"message": "2 records failed to match"},
    {"warnings": ["slow"]},
    {"truto_is_remote_error": False},
    {"truto_error_insight": None},
    {"limit": 500},
    {"code": 1000},
    {"code": "0000"},
    {"code": 200_000},
    {"responseCode": "2000"},
    {"statusCode": 600},
    {"status": "1000"},
    {"status": "1000 OK"},
    {"status": "2026-11-20"},
    {"status": "2026-11-20T08:00:00Z"},
    {"status": 1_772_366_400},
    {"status": {"code": 1000, "message": "OK"}},
    {"state": "No error"},
    {"status": "no_errors"},
    {"error": "No error"},
    {"error": "NO_ERROR"},
    {"error": "No errors found."},
    {"error": "-"},
    {"error": "N/A"},
    {"error": "OK"},
    {"error": "Success"},
    {"error": "0.0"},
    {"error": {"code": 0, "message": "no error"}},
    {"errors": ["None"]},
    {"error_message": "Without errors"},
    {"exception": "No exception"},
    {"errorCode": "SUCCESSFUL"},
    {"errorCode": "ERROR_NONE"},
]
"""Members of an envelope, none of which says that the request failed."""


EVERY_SIGN = pytest.mark.parametrize("signs", SIGNS, ids=describe)
EVERY_OTHER = pytest.mark.parametrize("others", NO_SIGNS, ids=describe)


@EVERY_SIGN
@pytest.mark.parametrize("records", [[], [{"id": "x"}], {}, {"x": {"id": "x"}}, None], ids=describe)
@pytest.mark.parametrize("key", ["result", "results"])
def test_a_page_that_says_that_it_failed_is_requested_again(signs, records, key):
    failed = respond({key: records, "next_cursor": None, **signs})
    with ScriptedClient(failed, page("a")) as client:
        assert texts(client.fetch_pages("users", ALL)) == ['"a"']
    assert [request.query for request in client.received] == [[("integrated_account_id", "acme")]] * 2


@EVERY_SIGN
def test_a_later_page_that_says_that_it_failed_is_requested_again_and_never_the_end(signs):
    failed = respond({"result": [], "next_cursor": None, **signs})
    responses = [page("a", cursor="1"), page("b", cursor="2"), failed, page("c")]
    store = Store()
    with ScriptedClient(*responses, store=store) as client:
        assert texts(client.fetch_pages("course-enrollments", ALL)) == ['"a"', '"b"', '"c"']
    assert [dict(request.query).get("next_cursor") for request in client.received] == [None, "1", "2", "2"]
    assert [one.body for one in store.values()] == [response.body for response in responses if response is not failed]


@EVERY_SIGN
def test_a_raw_page_that_says_that_it_failed_is_requested_again(signs):
    with ScriptedClient(respond({"result": [], "next_cursor": None, **signs}), page("a")) as client:
        assert texts(client.fetch_pages("users", RAW)) == ['"a"']


@EVERY_SIGN
def test_a_page_of_accounts_that_says_that_it_failed_is_requested_again(signs):
    responses = [page({"id": "one"}, cursor="1"), respond({"result": [], **signs}), page({"id": "two"})]
    with ScriptedClient(*responses) as client:
        assert [account.id for account in client.fetch_accounts()] == ["one", "two"]


@EVERY_SIGN
def test_a_pair_whose_page_says_that_it_failed_is_not_absent(signs):
    with ScriptedClient(respond({"result": [], **signs}), page("p"), store=Store()) as client:
        pair = client.fetch_pair(PAIR)
    assert pair is not None
    assert texts([pair]) == ['"p"']


@EVERY_SIGN
def test_capabilities_that_say_that_they_failed_are_requested_again(signs):
    models = {"unified": [{"model": "lms", "resource": "users"}]}
    with ScriptedClient(respond({"unified": [], **signs}), respond(models)) as client:
        assert client.fetch_capabilities("acme").is_lms


@EVERY_SIGN
def test_metadata_that_say_that_they_failed_are_requested_again(signs):
    metadata = {"query_schema": {"properties": {"user": {"required": True}}}}
    request = build_metadata_request("acme", "course-enrollments")
    with ScriptedClient(respond(signs), respond(metadata)) as client:
        assert client.fetch(request, read_required_parameters).value == ("user",)


def test_capabilities_without_their_list_are_requested_again():
    with ScriptedClient(respond({"message": "later"}), respond({"unified": []})) as client:
        assert not client.fetch_capabilities("acme").is_lms
    assert len(client.received) == 2


@EVERY_OTHER
def test_a_page_that_does_not_say_so_is_read(others):
    with ScriptedClient(respond({"result": [{"id": "x"}], "next_cursor": None, **others})) as client:
        assert texts(client.fetch_pages("users", ALL)) == ['{"id": "x"}']


@EVERY_OTHER
def test_a_raw_page_that_does_not_say_so_is_an_envelope(others):
    with ScriptedClient(respond({"result": [{"id": "x"}], "next_cursor": "1", **others}), page("b")) as client:
        first, second = client.fetch_pages("users", RAW)
    assert (texts([first]), texts([second])) == (['{"id": "x"}'], ['"b"'])


@given(
    others=st.lists(st.sampled_from(NO_SIGNS), max_size=4),
    sign=st.none() | st.sampled_from(SIGNS),
    records=st.lists(st.integers(), max_size=3),
    cursor=st.none() | st.just(""),
    is_last=st.booleans(),
)
def test_one_sign_among_any_other_members_is_enough_and_without_one_nothing_is_lost(
    others, sign, records, cursor, is_last
):
    members: dict[str, Any] = {"result": records, "next_cursor": cursor}
    for one in others:
        members |= one
    body = {**members, **(sign or {})} if is_last else {**(sign or {}), **members, **(sign or {})}
    with ScriptedClient(respond(body), retry_policy=ONCE) as client:
        if sign is None:
            assert texts(client.fetch_pages("users", ALL)) == [str(record) for record in records]
        else:
            with pytest.raises(TransientError):
                list(client.fetch_pages("users", ALL))


def test_a_failure_that_lasts_is_one_sentence_of_who_failed_and_nothing_is_stored():
    store = Store()
    failed = respond({"result": [], "error": "no access for ann.example@example.org"})
    with ScriptedClient(*[failed] * 6, store=store) as client:
        with pytest.raises(TransientError) as caught:
            list(client.fetch_pages("users", ALL))
        assert client.requests == 6
    assert store == {}
    assert str(caught.value) == (
        "Truto sent a failure under a success status, in 'error', and says 'no access for [removed]' "
        "(GET /unified/lms/users of account acme): try again later."
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({**FAILURE, "truto_is_remote_error": True}, "The LMS behind Truto sent a failure"),
        ({"result": [], "errors": [{"message": "why"}]}, "in 'errors', and says 'why'"),
        ({"result": [], "error": {"message": "why"}}, "and says 'why'"),
        ({"result": [], "status": "error", "detail": "why"}, "in 'status', and says 'why'"),
        ({"result": [], "meta": {"code": 500}}, "in 'code' ("),
        ({"result": [], "success": False}, "in 'success' ("),
    ],
)
def test_a_failure_says_where_it_was_found(body, says):
    with ScriptedClient(respond(body), retry_policy=ONCE) as client, pytest.raises(TransientError) as caught:
        list(client.fetch_pages("users", ALL))
    assert says in str(caught.value)


def test_a_limit_that_a_body_reports_has_the_wait_of_a_limit():
    limited = {"result": [], "statusCode": 429, "error": "Too Many Requests"}
    with ScriptedClient(respond(limited), page("a")) as client:
        list(client.fetch_pages("users", ALL))
    assert client.waits == [10]


def test_a_refused_token_in_a_body_under_a_success_status_is_transient():
    """One odd page must not stop every account."""
    with ScriptedClient(respond({"statusCode": 401, "error": "Unauthorized"}), retry_policy=ONCE) as client:
        with pytest.raises(TransientError) as caught:
            list(client.fetch_pages("users", ALL))
        assert caught.value.status is None


FETCHES: dict[str, Callable[[TrutoClient], object]] = {
    "unified": lambda client: list(client.fetch_pages("users", ALL)),
    "raw": lambda client: list(client.fetch_pages("users", RAW)),
    "pair": lambda client: client.fetch_pair(PAIR),
    "accounts": lambda client: list(client.fetch_accounts()),
}


@pytest.mark.parametrize("fetch", FETCHES.values(), ids=list(FETCHES))
@pytest.mark.parametrize("body", [{"result": None}, {"results": None, "next_cursor": None}])
def test_a_page_without_a_list_is_no_empty_page(body, fetch):
    with ScriptedClient(respond(body), retry_policy=ONCE) as client, pytest.raises(TransientError):
        fetch(client)


class TestStoredByAnEarlierVersion:
    """A checkpoint may hold failed bodies, from before they were recognized."""

    @pytest.fixture
    def store(self):
        store = Store()
        with ScriptedClient(page("a"), page("p"), respond({"id": "u1"}), store=store) as client:
            list(client.fetch_pages("users", ALL))
            client.fetch_pair(PAIR)
            client.fetch_record("users", "u1", ObjectQuery("acme"))
        for key, response in store.items():
            store[key] = replace(response, body=json.dumps({"result": [], "error": "down"}).encode())
        return store

    def test_is_requested_again_and_replaced(self, store):
        responses = [page("b"), page("q"), respond({"id": "u2"})]
        with ScriptedClient(*responses, store=store) as client:
            list(client.fetch_pages("users", ALL))
            client.fetch_pair(PAIR)
            client.fetch_record("users", "u1", ObjectQuery("acme"))
        assert len(client.received) == 3
        assert [one.body for one in store.values()] == [response.body for response in responses]

    def test_is_missing_in_a_replay(self, store):
        with TrutoClient.for_replay(store) as client, pytest.raises(NotKeptError):
            list(client.fetch_pages("users", ALL))
