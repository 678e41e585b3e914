"""How often and after which wait a request is sent again; the waits are recorded, not slept."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.truto.errors import PermanentError, TransientError, build_error
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, page, refusal

ALL = ListQuery("acme")


def waits_of(*responses: ScriptedResponse) -> list[float]:
    """Return the waits of a list that comes in the end."""
    with ScriptedClient(*responses) as client:
        assert len(list(client.pages("users", ALL))) == 1
        assert client.requests == len(client.received) == len(responses)
    return client.waits


def failure_of(*responses: ScriptedResponse) -> tuple[TransientError, list[float]]:
    """Return the error of `responses`, all of which are requested, and the waits before it."""
    with ScriptedClient(*responses) as client:
        with pytest.raises(TransientError) as caught:
            list(client.pages("users", ALL))
        assert client.requests == len(client.received) == len(responses)
    return caught.value, client.waits


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": " 2.5 "}, 2.5),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "7", "ratelimit-reset": "30"}, 7),
        ({"ratelimit-reset": "30"}, 30),
        ({"Retry-After": "soon", "ratelimit-reset": "30"}, 30),
        ({"Retry-After": "soon"}, 10),
        ({"Retry-After": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, 10),
        ({}, 10),
    ],
)
def test_after_too_many_requests_the_wait_is_what_the_server_says(headers, wait):
    assert waits_of(refusal(429, headers=headers), page()) == [wait]


def test_after_too_many_requests_the_wait_lasts_until_the_date_of_the_server():
    at = datetime.now(UTC) + timedelta(seconds=40)
    [wait] = waits_of(refusal(429, headers={"Retry-After": format_datetime(at, usegmt=True)}), page())
    assert 30 < wait <= 40


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
def test_a_transient_failure_is_retried_after_growing_random_waits(status):
    error, waits = failure_of(*[refusal(status)] * 6)
    assert error.status == status
    assert len(waits) == 5
    assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(waits))


def test_a_failure_that_passes_leaves_no_error():
    assert len(waits_of(refusal(500), refusal(502), page())) == 2


def test_unavailable_is_retried_fewer_times():
    error, waits = failure_of(*[refusal(503)] * 4)
    assert error.status == 503
    assert len(waits) == 3


def test_too_many_requests_end_after_all_attempts():
    error, waits = failure_of(*[refusal(429, headers={"Retry-After": "60"})] * 6)
    assert error.status == 429
    assert waits == [60] * 5


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("seconds", ["61", "100000", "inf"])
def test_a_wait_that_is_too_long_ends_the_request_at_once(status, seconds):
    error, waits = failure_of(refusal(status, headers={"Retry-After": seconds}))
    assert (error.status, error.retry_after, waits) == (status, float(seconds), [])


def test_the_reset_of_a_limit_does_not_delay_the_retry_of_a_failure():
    [wait] = waits_of(refusal(502, headers={"ratelimit-reset": "3600"}), page())
    assert wait <= 0.5


def test_an_unusable_body_is_requested_again():
    assert len(waits_of(ScriptedResponse(b"<html>"), ScriptedResponse(b'{"result":[1'), page())) == 2


def test_each_page_has_its_own_attempts():
    responses = [refusal(500), page("a", cursor="1"), refusal(500), page("b")]
    with ScriptedClient(*responses, retry_policy=RetryPolicy(max_attempts=2)) as client:
        assert len(list(client.pages("users", ALL))) == 2
        assert client.requests == 4


def test_a_refusal_is_never_retried():
    with ScriptedClient(refusal(400, headers={"Retry-After": "1"})) as client, pytest.raises(PermanentError):
        list(client.pages("users", ALL))
    assert (len(client.received), client.waits) == (1, [])


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_in_retry_after_is_no_wait_or_one_that_is_not_negative(value):
    wait = build_error(429, {"retry-after": value}, b"{}", "GET /x").retry_after
    assert wait is None or wait >= 0
