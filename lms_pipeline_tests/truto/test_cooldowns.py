"""The cool-down of an account: nobody sends a request to it meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from lms_pipeline.sandbox import Switches, Tier, running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import TransientError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import Cooldowns, RetryPolicy
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.support.scripted_api import FakeTime, ScriptedClient, page, refusal

ALL = ListQuery("acme")


def test_another_client_of_the_account_waits_too():
    time = FakeTime()
    cooldowns = time.cooldowns()
    with running(SmallWorld()) as sandbox:
        sandbox.fault(Status(status=429, retry_after=7, account=SWEEPING))
        with (
            TrutoClient(
                sandbox.url, sandbox.token, cooldowns=cooldowns, retry_policy=RetryPolicy(max_attempts=1)
            ) as one,
            TrutoClient(sandbox.url, sandbox.token, cooldowns=cooldowns) as other,
        ):
            with pytest.raises(TransientError):
                list(one.fetch_pages("users", ListQuery(SWEEPING)))
            assert time.waits == []
            sandbox.clear_faults()
            list(other.fetch_pages("users", ListQuery(PAIRED)))
            assert time.waits == []
            list(other.fetch_pages("users", ListQuery(SWEEPING)))
            assert time.waits == [7]


def test_all_threads_wait_when_one_receives_a_429():
    """One of four threads receives it; time passes when all four wait, also those that had sent no request yet."""
    instants = [0.0]
    is_limited = Event()
    all_wait = Barrier(4, action=lambda: instants.append(instants[-1] + 5))

    def sleep(seconds: float) -> None:
        if seconds > 1:
            is_limited.set()
            all_wait.wait(timeout=30)

    cooldowns = Cooldowns(clock=lambda: instants[-1], sleep=sleep)
    with (
        running(SmallWorld()) as sandbox,
        TrutoClient(sandbox.url, sandbox.token, cooldowns=cooldowns) as client,
        ThreadPoolExecutor(4) as workers,
    ):
        sandbox.fault(Status(status=429, retry_after=5, times=1))

        def fetch(*, first: bool) -> int:
            assert first or is_limited.wait(timeout=30)
            return len(list(client.fetch_pages("users", ListQuery(SWEEPING))))

        futures = [workers.submit(fetch, first=first) for first in (True, False, False, False)]
        assert [future.result() for future in futures] == [1] * 4
        assert client.requests == 5
    assert instants == [0, 5]


def test_a_limit_that_a_response_used_up_is_waited_for_and_not_met():
    responses = [page("a", cursor="1"), page("b", cursor="2"), page("c")]
    spent = {"ratelimit-limit": "2;w=10", "ratelimit-remaining": "0", "ratelimit-reset": "8"}
    responses[1].headers.update(spent)
    with ScriptedClient(*responses) as client:
        assert len(list(client.fetch_pages("users", ALL))) == 3
    assert client.waits == [8]


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "-1"}, {"ratelimit-reset": "0"}])
def test_a_429_that_demands_no_wait_starts_the_usual_cooldown(headers):
    with ScriptedClient(refusal(429, headers=headers), page(), retry_policy=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(TransientError):
            list(client.fetch_pages("users", ALL))
        assert client.waits == []
        list(client.fetch_pages("users", ALL))
    assert client.waits == [10]


def test_a_sweep_under_the_limit_of_a_provider_is_never_refused():
    """The sandbox counts in real seconds; with a window of 1 s the waits are real."""
    with running(SmallWorld(8)) as sandbox, TrutoClient(sandbox.url, sandbox.token) as client:
        sandbox.switch(Switches(provider_tier=Tier(3, 1)))
        assert sum(len(one.records) for one in client.fetch_pages("users", ListQuery(SWEEPING, limit=1))) == 8
        assert sandbox.stats()["limited"] == {}


def test_a_long_cooldown_is_not_shortened_by_a_short_one():
    time = FakeTime()
    cooldowns = time.cooldowns()
    cooldowns.start("acme", 10)
    cooldowns.start("acme", 2)
    cooldowns.wait("acme")
    assert time.waits == [10]


def test_a_cooldown_that_is_extended_meanwhile_is_waited_for_to_its_new_end():
    now, waits = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds
        if len(waits) == 1:
            cooldowns.start("acme", 3)

    cooldowns = Cooldowns(clock=lambda: now, sleep=sleep)
    cooldowns.start("acme", 5)
    cooldowns.wait("acme")
    assert waits == [5, 3]


def test_no_cooldown_is_longer_than_the_longest_wait():
    with ScriptedClient(refusal(429, headers={"Retry-After": "86400"}), page()) as client:
        with pytest.raises(TransientError):
            list(client.fetch_pages("users", ALL))
        list(client.fetch_pages("users", ALL))
    assert client.waits == [RetryPolicy().max_wait_seconds]
