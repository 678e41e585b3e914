"""What an error response means, and its message for people."""

import json
import logging
from typing import Any

import pytest

from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError, redact
from lms_pipeline.truto.log_filter import install_logging_filters
from lms_pipeline.truto.query import ListQuery, UserFilter
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_api import TOKEN, ScriptedClient, ScriptedResponse, page, refusal

ALL = ListQuery("acme")
REMOTE: dict[str, Any] = {"truto_is_remote_error": True}


def error_of(response: ScriptedResponse) -> TrutoError:
    """Return the error of one attempt."""
    with ScriptedClient(response, retry_policy=RetryPolicy(1, 1)) as client, pytest.raises(TrutoError) as caught:
        list(client.fetch_pages("users", ALL))
    assert len(client.received) == 1
    return caught.value


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (
            refusal(400, "bad limit"),
            "Truto refused the request and says 'bad limit' ({}, status 400): check the account's settings.",
        ),
        (refusal(401), "Truto does not accept the token ({}, status 401): check TRUTO_API_TOKEN."),
        (
            refusal(401, **REMOTE),
            "The account's connection to its LMS is broken ({}, status 401): ask its owner to connect it again in Truto.",
        ),
        (
            refusal(403, "", **REMOTE),
            "The LMS behind Truto refused the request ({}, status 403): give the token or the connection the right to read it.",
        ),
        (
            refusal(404, ""),
            "Truto refused the request ({}, status 404): check the id, and whether the token's environment can see it.",
        ),
        (refusal(405, ""), "Truto refused the request ({}, status 405): this LMS does not offer it."),
        (refusal(409, ""), "Truto refused the request ({}, status 409): look at the account in Truto."),
        (
            refusal(422, "", **REMOTE),
            "The LMS behind Truto refused the request ({}, status 422): check the account's settings.",
        ),
        (
            refusal(410, ""),
            "Truto refused the request ({}, status 410): check TRUTO_BASE_URL and the account's settings.",
        ),
    ],
)
def test_a_refusal_is_one_sentence_that_says_what_to_do(response, says):
    error = error_of(response)
    assert type(error) is PermanentError
    assert str(error) == says.format("GET /unified/lms/users of account acme")
    assert error.status == response.status
    assert error.is_remote is (b"truto_is_remote_error" in response.body)


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (refusal(429), "Too many requests ({}, status 429): try again later."),
        (
            refusal(502, "down", **REMOTE),
            "The LMS behind Truto failed to answer and says 'down' ({}, status 502): try again later.",
        ),
        (ScriptedResponse(b"<html>", 503), "Truto failed to answer ({}, status 503): try again later."),
    ],
)
def test_a_transient_error_is_one_sentence_too(response, says):
    error = error_of(response)
    assert type(error) is TransientError
    assert str(error) == says.format("GET /unified/lms/users of account acme")


EDGE_PAGE = b"<html><title>example.org | 522: Connection timed out</title></html>"
PASSING = sorted(set(range(500, 600)) - {501, 505})


@pytest.mark.parametrize("status", PASSING)
@pytest.mark.parametrize("body", [b"", EDGE_PAGE, b'{"message":"down","truto_is_remote_error":true}'])
def test_a_failure_of_any_server_on_the_way_is_transient(status, body):
    error = error_of(ScriptedResponse(body, status, {"Content-Type": "text/html"}))
    assert type(error) is TransientError
    assert error.status == status
    assert "html" not in str(error)
    assert str(error).endswith(f"(GET /unified/lms/users of account acme, status {status}): try again later.")


@pytest.mark.parametrize("status", [501, 505])
@pytest.mark.parametrize("extra", [{}, REMOTE])
def test_what_a_server_does_not_have_is_permanent(status, extra):
    assert type(error_of(refusal(status, **extra))) is PermanentError


@pytest.mark.parametrize("status", [300, 304, 402, 406, 410, 418, 423, 424, 451, 499, 600, 999])
def test_any_other_status_without_success_is_permanent(status):
    assert type(error_of(ScriptedResponse(EDGE_PAGE, status))) is PermanentError


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (ScriptedResponse(EDGE_PAGE, 522), "The proxy in front of Truto failed to reach it"),
        (ScriptedResponse(EDGE_PAGE, 530), "The proxy in front of Truto failed to reach it"),
        (ScriptedResponse(EDGE_PAGE, 599), "Truto failed to answer"),
        (
            ScriptedResponse(b'{"message":"x","truto_is_remote_error":true}', 522),
            "The LMS behind Truto failed to answer",
        ),
        (ScriptedResponse(b'{"message":"x"}', 525), "The proxy in front of Truto failed to reach it and says 'x'"),
    ],
)
def test_a_failure_says_who_failed(response, says):
    assert str(error_of(response)).startswith(f"{says} ")


def test_an_error_names_the_missing_parameters():
    insight = {"missing_required_query_parameters": {"description": "", "value": ["user[id]", "course[id]"]}}
    assert error_of(refusal(400, truto_error_insight=insight)).missing_parameters == ("user[id]", "course[id]")


@pytest.mark.parametrize(
    "insight",
    [
        None,
        {},
        "x",
        {"missing_required_query_parameters": None},
        {"missing_required_query_parameters": {"value": None}},
        {"missing_required_query_parameters": {"value": [1]}},
    ],
)
def test_an_unreadable_insight_names_no_parameters_and_hides_nothing_else(insight):
    error = error_of(refusal(400, "why", truto_error_insight=insight, **REMOTE))
    assert error.missing_parameters == ()
    assert error.is_remote
    assert "'why'" in str(error)


@pytest.mark.parametrize("message", [None, ["limit must be a number"], {"a": 1}, 5])
def test_a_message_that_is_no_text_does_not_hide_its_source(message):
    error = error_of(refusal(401, message, **REMOTE))
    assert error.is_remote
    assert "connection to its LMS is broken" in str(error)


def test_half_an_emoji_in_a_message_does_not_hide_its_source():
    body = rb'{"message":"oops \ud83d","truto_is_remote_error":true}'
    assert error_of(ScriptedResponse(body, 401)).is_remote


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"null", b'{"a":' * 100_000])
def test_an_unreadable_error_body_leaves_the_status(body):
    error = error_of(ScriptedResponse(body, 403))
    assert (error.status, error.is_remote) == (403, False)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(status):
    error = error_of(ScriptedResponse(b"", status, {"Location": "http://127.0.0.2/unified/lms/users"}))
    assert type(error) is PermanentError
    assert "check TRUTO_BASE_URL" in str(error)


SECRETS = (TOKEN, "ann.example@example.org", "cursor-1")


def test_no_token_address_or_cursor_is_in_an_error_or_a_log(caplog):
    install_logging_filters()
    caplog.set_level(logging.DEBUG)
    message = f"Bearer {TOKEN} of ann.example@example.org <ann.example@example.org> at {TOKEN} for cursor-1"
    responses = [page("a", cursor="cursor-1"), refusal(500, message), refusal(400, message)]
    query = ListQuery("acme", user=UserFilter("ann.example@example.org"))
    with ScriptedClient(*responses) as client:
        with pytest.raises(PermanentError) as caught:
            list(client.fetch_pages("course-enrollments", query))
        texts = [str(caught.value), repr(caught.value), repr(client), repr(vars(caught.value))]
    assert len(client.received) == 3
    texts += [record.getMessage() + json.dumps(vars(record), default=repr) for record in caplog.records]
    assert [(secret, text) for text in texts for secret in SECRETS if secret in text] == []
    assert any("Attempt 1 of a request" in text for text in texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ask ann@example.org now", "ask [removed] now"),
        ("Authorization: bearer abc", "Authorization: [removed]"),
        ("id 0123456789abcdef0123456789abcdef gone", "id [removed] gone"),
        ("x " * 200, "x " * 100),
    ],
)
def test_the_text_of_a_server_is_redacted_and_shortened(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize(
    "message",
    [
        "integrated_account_id is required",
        "truto_response_format compact is unknown",
        "neither truto_ignore_remote_data, truto_exclude_fields nor 'missing_required_query_parameters'",
        "user[truto_ignore_remote_data] needs integrated_account_id.",
    ],
)
def test_the_name_of_a_parameter_stays_in_a_message(message):
    assert redact(message) == message


def test_a_missing_parameter_with_a_long_name_is_named():
    insight = {"missing_required_query_parameters": {"value": ["integrated_account_id"]}}
    assert error_of(refusal(400, truto_error_insight=insight)).missing_parameters == ("integrated_account_id",)


@pytest.mark.parametrize(
    "token",
    [
        "9f86d081884c7d659a2feaa0c55ad015",
        "deadbeef-cafe-babe-fade-facadedecade",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "c2VjcmV0IHRva2VuIG9mIGFjbWU=",
        "abcdefghij/klmnopqrstuv+wxyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "tok_live_abcdefghijklmnop7",
        "abcdefghijklmnopqrstuvwxyz.0",
        "abcdefghijklmnopqrstuvwxyzA",
        "integrated_account_id=0",
    ],
)
def test_a_long_word_with_anything_but_small_letters_is_a_token(token):
    assert redact(f"no {token}, or {token}") == "no [removed], or [removed]"


def test_a_huge_message_is_shortened_before_the_search():
    assert redact("é" * 1_000_000).strip("é") == ""
    assert redact("é " * 990 + "ann.example@example.org " * 100)[:4] == "é é "
