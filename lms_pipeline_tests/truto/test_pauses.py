"""The pause that an account is left alone for, by all that ask for it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from lms_pipeline.sandbox import Switches, Tier, running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import TransientError
from lms_pipeline.truto.pauses import Pauses
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.waits import Patience
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.truto.scripted import FakeTime, page, refusal, saying


def test_another_client_of_the_account_waits_too():
    time = FakeTime()
    pauses = time.pauses()
    with running(SmallWorld()) as sandbox:
        sandbox.fault(Status(status=429, retry_after=7, account=SWEEPING))
        with (
            TrutoClient(sandbox.url, sandbox.token, pauses=pauses, patience=Patience(attempts=1)) as one,
            TrutoClient(sandbox.url, sandbox.token, pauses=pauses) as other,
        ):
            with pytest.raises(TransientError):
                list(one.pages("users", ListQuery(SWEEPING)))
            assert time.waits == []
            sandbox.clear_faults()
            list(other.pages("users", ListQuery(PAIRED)))
            assert time.waits == []
            list(other.pages("users", ListQuery(SWEEPING)))
            assert time.waits == [7]


def test_all_threads_wait_when_one_is_told_to():
    """One of four is told to wait; time goes on when all four of them do, those too that had not asked yet."""
    instants = [0.0]
    one_is_told = Event()
    all_wait = Barrier(4, action=lambda: instants.append(instants[-1] + 5))

    def sleep(seconds: float) -> None:
        if seconds > 1:
            one_is_told.set()
            all_wait.wait(timeout=30)

    pauses = Pauses(clock=lambda: instants[-1], sleep=sleep)
    with (
        running(SmallWorld()) as sandbox,
        TrutoClient(sandbox.url, sandbox.token, pauses=pauses) as client,
        ThreadPoolExecutor(4) as workers,
    ):
        sandbox.fault(Status(status=429, retry_after=5, times=1))

        def ask(*, first: bool) -> int:
            assert first or one_is_told.wait(timeout=30)
            return len(list(client.pages("users", ListQuery(SWEEPING))))

        asked = [workers.submit(ask, first=first) for first in (True, False, False, False)]
        assert [future.result() for future in asked] == [1] * 4
        assert client.requests == 5
    assert instants == [0, 5]


def test_a_limit_that_an_answer_used_up_is_waited_for_and_not_met():
    time = FakeTime()
    answers = [
        page("a", cursor="1"),
        page("b", cursor="2"),
        page("c"),
    ]
    spent = {"ratelimit-limit": "2;w=10", "ratelimit-remaining": "0", "ratelimit-reset": "8"}
    answers[1].headers.update(spent)
    with saying(*answers) as server, TrutoClient(server.url, "t" * 9, pauses=time.pauses()) as client:
        assert len(list(client.pages("users", ListQuery("acme")))) == 3
    assert time.waits == [8]


def test_a_sweep_under_a_providers_limit_is_never_refused():
    """Real seconds are the sandbox's; with a window of 1 s the pauses are really kept."""
    with running(SmallWorld(8)) as sandbox, TrutoClient(sandbox.url, sandbox.token) as client:
        sandbox.switch(Switches(provider_tier=Tier(3, 1)))
        assert sum(len(one.records) for one in client.pages("users", ListQuery(SWEEPING, limit=1))) == 8
        assert sandbox.stats()["limited"] == {}


def test_a_long_pause_is_not_shortened_by_a_short_one():
    time = FakeTime()
    pauses = time.pauses()
    pauses.pause("acme", 10)
    pauses.pause("acme", 2)
    pauses.keep("acme")
    assert time.waits == [10]


def test_a_pause_that_grows_while_somebody_waits_is_kept_to_its_new_end():
    now, waits = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds
        if len(waits) == 1:
            pauses.pause("acme", 3)

    pauses = Pauses(clock=lambda: now, sleep=sleep)
    pauses.pause("acme", 5)
    pauses.keep("acme")
    assert waits == [5, 3]


def test_no_pause_is_longer_than_our_patience():
    time = FakeTime()
    refused = refusal(429, headers={"Retry-After": "86400"})
    with saying(refused, page()) as server, TrutoClient(server.url, "t" * 9, pauses=time.pauses()) as client:
        with pytest.raises(TransientError):
            list(client.pages("users", ListQuery("acme")))
        list(client.pages("users", ListQuery("acme")))
    assert time.waits == [Patience().longest]
