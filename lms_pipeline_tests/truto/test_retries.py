"""How often and after what wait a request is asked again; nobody sleeps here, the waits are recorded."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.truto.errors import PermanentError, TransientError, build_error
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_server import Answer, asking, page, refusal, saying

ALL = ListQuery("acme")


def waits_of(*answers: Answer, retry_policy: RetryPolicy | None = None) -> list[float]:
    """The waits of a list that is there in the end."""
    waits: list[float] = []
    with saying(*answers) as server, asking(server.url, waits, retry_policy=retry_policy) as client:
        assert len(list(client.pages("users", ALL))) == 1
        assert client.requests == len(server.asked) == len(answers)
    return waits


def failure_of(
    *answers: Answer, retry_policy: RetryPolicy | None = None
) -> tuple[TransientError, list[float]]:
    """The error that is left of `answers`, all of which were asked for, and the waits before it."""
    waits: list[float] = []
    with saying(*answers) as server, asking(server.url, waits, retry_policy=retry_policy) as client:
        with pytest.raises(TransientError) as caught:
            list(client.pages("users", ALL))
        assert client.requests == len(server.asked) == len(answers)
    return caught.value, waits


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


def test_after_too_many_requests_a_date_is_waited_for():
    at = datetime.now(UTC) + timedelta(seconds=40)
    [wait] = waits_of(refusal(429, headers={"Retry-After": format_datetime(at, usegmt=True)}), page())
    assert 30 < wait <= 40


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
def test_what_may_pass_is_asked_again_after_growing_random_waits(status):
    error, waits = failure_of(*[refusal(status)] * 6)
    assert error.status == status
    assert len(waits) == 5
    assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(waits))


def test_a_failure_that_passes_is_forgotten():
    assert len(waits_of(refusal(500), refusal(502), page())) == 2


def test_unavailable_is_asked_fewer_times():
    error, waits = failure_of(*[refusal(503)] * 4)
    assert error.status == 503
    assert len(waits) == 3


def test_too_many_requests_are_given_up_in_the_end():
    error, waits = failure_of(*[refusal(429, headers={"Retry-After": "60"})] * 6)
    assert error.status == 429
    assert waits == [60] * 5


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("asked", ["61", "100000", "inf"])
def test_a_longer_wait_than_we_have_patience_for_ends_the_request_at_once(status, asked):
    error, waits = failure_of(refusal(status, headers={"Retry-After": asked}))
    assert (error.status, error.retry_after, waits) == (status, float(asked), [])


def test_the_reset_of_a_limit_says_nothing_about_a_failure():
    [wait] = waits_of(refusal(502, headers={"ratelimit-reset": "3600"}), page())
    assert wait <= 0.5


def test_an_answer_that_can_not_be_used_is_asked_again():
    assert len(waits_of(Answer(b"<html>"), Answer(b'{"result":[1'), page())) == 2


def test_each_page_has_tries_of_its_own():
    answers = [refusal(500), page("a", cursor="1"), refusal(500), page("b")]
    with saying(*answers) as server, asking(server.url, retry_policy=RetryPolicy(max_attempts=2)) as client:
        assert len(list(client.pages("users", ALL))) == 2
        assert client.requests == 4


def test_a_refusal_is_never_asked_again():
    waits: list[float] = []
    with (
        saying(refusal(400, headers={"Retry-After": "1"})) as server,
        asking(server.url, waits) as client,
        pytest.raises(PermanentError),
    ):
        list(client.pages("users", ALL))
    assert (len(server.asked), waits) == (1, [])


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_stands_in_retry_after_is_no_wait_or_one_that_is_not_negative(value):
    wait = build_error(429, {"retry-after": value}, b"{}", "GET /x").retry_after
    assert wait is None or wait >= 0
