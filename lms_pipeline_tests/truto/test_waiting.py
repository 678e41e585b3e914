"""Waits that are too long for a run: a pull ends, and says how long no call is allowed."""

import pytest

from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline.truto.waiting import ContinuesLaterError
from lms_pipeline_tests.support.scripted_api import ScriptedClient, page, refusal

ALL = ListQuery("acme")
PULL = RetryPolicy(continues_later=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("name", "value", "seconds"), [("Retry-After", "61", 61), ("Retry-After", "1e300", 604_800)])
def test_a_pull_ends_instead_of_a_wait_over_a_minute(status, name, value, seconds):
    with ScriptedClient(refusal(status, headers={name: value}), retry_policy=PULL) as client:
        with pytest.raises(ContinuesLaterError) as caught:
            list(client.fetch_pages("users", ALL))
        assert (len(client.received), client.waits) == (1, [])
    assert caught.value.subject == "The LMS of account acme"
    assert caught.value.seconds == seconds


def test_a_pull_waits_for_a_minute():
    with ScriptedClient(refusal(429, headers={"Retry-After": "60"}), page(), retry_policy=PULL) as client:
        list(client.fetch_pages("users", ALL))
        assert client.waits == [60]


def test_a_pull_ends_before_the_call_after_a_used_up_limit():
    responses = [page("a", cursor="1"), page("b")]
    responses[0].headers.update({"ratelimit-remaining": "0", "ratelimit-reset": "3000"})
    passed: list[Request] = []
    with ScriptedClient(*responses, retry_policy=PULL, gate=passed.append) as client:
        with pytest.raises(ContinuesLaterError) as caught:
            list(client.fetch_pages("users", ALL))
        assert len(client.received) == len(passed) == 1  # what is not sent costs no call
    assert 2990 < caught.value.seconds <= 3000


def test_a_pull_that_needs_no_further_call_does_not_end_early():
    responses = [page("a")]
    responses[0].headers.update({"ratelimit-remaining": "0", "ratelimit-reset": "3000"})
    with ScriptedClient(*responses, retry_policy=PULL) as client:
        assert len(list(client.fetch_pages("users", ALL))) == 1
