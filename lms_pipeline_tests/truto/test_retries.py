"""How often and after which wait a request is sent again; the waits are recorded, not slept."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError, build_error
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, page, refusal

ALL = ListQuery("acme")


def waits_of(*responses: ScriptedResponse) -> list[float]:
    """Return the waits of a list that comes in the end."""
    with ScriptedClient(*responses) as client:
        assert len(list(client.fetch_pages("users", ALL))) == 1
        assert client.requests == len(client.received) == len(responses)
    return client.waits


def failure_of(*responses: ScriptedResponse) -> tuple[TransientError, list[float]]:
    """Return the error of `responses`, all of which are requested, and the waits before it."""
    with ScriptedClient(*responses) as client:
        with pytest.raises(TransientError) as caught:
            list(client.fetch_pages("users", ALL))
        assert client.requests == len(client.received) == len(responses)
    return caught.value, client.waits


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 2.5 "}, 2.5),
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


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504, 507, 520, 522, 530, 599])
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
        assert len(list(client.fetch_pages("users", ALL))) == 2
        assert client.requests == 4


def test_a_refusal_is_never_retried():
    with ScriptedClient(refusal(400, headers={"Retry-After": "1"})) as client, pytest.raises(PermanentError):
        list(client.fetch_pages("users", ALL))
    assert (len(client.received), client.waits) == (1, [])


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_in_retry_after_is_no_wait_or_a_positive_one(value):
    wait = build_error(429, {"retry-after": value}, b"{}", "GET /x").retry_after
    assert wait is None or wait > 0


NOW = "Sat, 28 Nov 2026 12:00:00 GMT"
NO_WAITS = [
    "0",
    "0.0",
    "-0",
    "-1",
    "-3.5",
    "-inf",
    "00",
    NOW,
    "Sat, 28 Nov 2026 11:59:59 GMT",
    "1 Jan 1970 00:00:00 GMT",
]
"""Values of `Retry-After` that demand no wait, at the server's time `NOW`."""


@pytest.mark.parametrize("value", NO_WAITS)
@pytest.mark.parametrize("reset", [{}, {"ratelimit-reset": "0"}, {"ratelimit-reset": "-5"}])
def test_after_too_many_requests_a_wait_that_is_no_wait_counts_as_none(value, reset):
    headers = {"Retry-After": value, "Date": NOW, **reset}
    assert waits_of(refusal(429, headers=headers), page()) == [10]


@pytest.mark.parametrize("value", NO_WAITS)
def test_a_reset_takes_the_place_of_a_wait_that_is_no_wait(value):
    headers = {"Retry-After": value, "Date": NOW, "ratelimit-reset": "30"}
    assert waits_of(refusal(429, headers=headers), page()) == [30]


@pytest.mark.parametrize("value", NO_WAITS)
def test_a_failure_with_a_wait_that_is_no_wait_has_its_own_back_off(value):
    _, waits = failure_of(*[refusal(502, headers={"Retry-After": value, "Date": NOW})] * 6)
    assert all(0.25 * 2**number <= wait <= 0.5 * 2**number for number, wait in enumerate(waits))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_wait_of_a_moment_is_no_shorter_than_the_back_off(status):
    _, waits = failure_of(*[refusal(status, headers={"Retry-After": "0.001"})] * (4 if status == 503 else 6))
    assert all(wait >= 0.25 * 2**number for number, wait in enumerate(waits))


DEMANDS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-(10**12), 10**12).map(str),
    st.sampled_from([*NO_WAITS, "soon", "", "1e-9", "Wed, 21 Oct 99999999999 07:28:00 GMT"]),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: format_datetime(at, usegmt=True)),
)


@given(
    status=st.sampled_from([408, 425, 429, 500, 502, 503, 504]),
    retry_after=st.none() | DEMANDS,
    reset=st.none() | DEMANDS,
    attempt=st.integers(1, 6),
    longest=st.sampled_from([1.0, 60.0, 3600.0]),
)
def test_no_header_shortens_a_wait_below_the_floor_of_its_back_off(status, retry_after, reset, attempt, longest):
    headers = {"date": NOW, "retry-after": retry_after, "ratelimit-reset": reset}
    sent = {name: value for name, value in headers.items() if value is not None}
    policy = RetryPolicy(max_wait_seconds=longest)
    wait = policy.wait_seconds(state_after(build_error(status, sent, b"{}", "GET /x"), attempt))
    assert min(0.25 * 2 ** (attempt - 1), longest / 2) <= wait <= longest


@given(status=st.sampled_from([408, 429, 500, 502, 503]), retry_after=st.none() | DEMANDS, reset=st.none() | DEMANDS)
def test_no_header_shortens_a_cooldown_below_the_first_back_off(status, retry_after, reset):
    headers = {"date": NOW, "retry-after": retry_after, "ratelimit-reset": reset}
    sent = {name: value for name, value in headers.items() if value is not None}
    error = build_error(status, sent, b"{}", "GET /x")
    assert isinstance(error, TransientError)
    cooldown = RetryPolicy().cooldown_seconds(error)
    assert cooldown is not None if status == 429 else cooldown is None or error.retry_after is not None
    assert cooldown is None or 0.5 <= cooldown <= 60


def state_after(error: TrutoError, attempt: int) -> RetryCallState:
    """Return the state after an attempt that failed."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, None))
    return state
