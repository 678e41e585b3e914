"""Rate limits: which calls count, and the responses of a limit that is used up."""

from collections.abc import Iterator

import pytest

from lms_pipeline.sandbox import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, RunningSandbox, Switches, Tier, running
from lms_pipeline.sandbox.http import Refusal
from lms_pipeline.sandbox.state import RateLimits
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, open_client

USERS = "/unified/lms/users"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running(SmallWorld()) as sandbox:
        yield sandbox


def test_the_tiers_of_truto_are_those_of_its_docs():
    assert (Tier(500, 10), Tier(50, 10)) == (TRUTO_TOKEN_TIER, TRUTO_ACCOUNT_TIER)


def test_nothing_is_limited_without_switches(sandbox):
    with open_client(sandbox) as client:
        responses = [client.get(USERS, params={"integrated_account_id": SWEEPING}) for _ in range(60)]
    assert {response.status_code for response in responses} == {200}
    assert not any(name.startswith("ratelimit") for name in responses[0].headers)


def test_the_account_limit_refuses_only_the_account_that_exceeds_it(sandbox):
    sandbox.switch(Switches(account_tier=Tier(2)))
    with open_client(sandbox) as client:
        statuses = [
            client.get(USERS, params={"integrated_account_id": account}).status_code
            for account in (SWEEPING, SWEEPING, SWEEPING, PAIRED)
        ]
        refused = client.get(USERS, params={"integrated_account_id": SWEEPING})
    assert statuses == [200, 200, 429, 200]
    assert refused.headers["retry-after"] == "10"
    assert refused.json() == {"statusCode": 429, "error": "Too Many Requests", "message": "Too many requests"}
    assert sandbox.stats()["limited"] == {"account": 2}


def test_routes_of_accounts_count_only_for_the_token(sandbox):
    sandbox.switch(Switches(account_tier=Tier(1), token_tier=Tier(3)))
    with open_client(sandbox) as client:
        statuses = [client.get(f"/integrated-account/{SWEEPING}").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert sandbox.stats()["limited"] == {"token": 1}


def test_a_provider_sends_its_limit_in_headers_and_refuses_with_its_own_error(sandbox):
    sandbox.switch(Switches(provider_tier=Tier(2)))
    with open_client(sandbox) as client:
        first, second, third = (client.get(USERS, params={"integrated_account_id": SWEEPING}) for _ in range(3))
        metadata = client.get(f"{USERS}/meta/list", params={"integrated_account_id": SWEEPING})
    headers = [
        tuple(response.headers[f"ratelimit-{name}"] for name in ("limit", "remaining"))
        for response in (first, second, third)
    ]
    assert headers == [("2;w=10", "1"), ("2;w=10", "0"), ("2;w=10", "0")]
    assert 0 < int(third.headers["ratelimit-reset"]) <= 10
    assert third.status_code == 429
    assert third.json()["truto_is_remote_error"] is True
    assert "rate_limit_error" in third.json()["truto_error_insight"]
    assert metadata.status_code == 200
    assert "ratelimit-limit" not in metadata.headers


class ManualClock:
    """Seconds that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def is_allowed(limits: RateLimits, switches: Switches) -> bool:
    try:
        limits.check(switches, SWEEPING, "provider")
    except Refusal:
        return False
    return True


def test_a_call_counts_until_the_window_of_the_tier_ends():
    clock, allowed = ManualClock(), {}
    limits = RateLimits(clock)
    for clock.seconds in (0.0, 5.0, 9.9, 10.0, 10.1, 15.0):
        allowed[clock.seconds] = is_allowed(limits, Switches(account_tier=Tier(2)))
    assert allowed == {0.0: True, 5.0: True, 9.9: False, 10.0: True, 10.1: False, 15.0: True}


def test_a_call_that_one_tier_refuses_counts_in_no_other():
    limits = RateLimits(ManualClock())
    switches = Switches(token_tier=Tier(2), account_tier=Tier(1))
    assert [is_allowed(limits, switches) for _ in range(3)] == [True, False, False]
    assert is_allowed(limits, Switches(token_tier=Tier(2)))


def test_a_tier_that_is_lowered_counts_the_calls_so_far():
    limits = RateLimits(ManualClock())
    assert all(is_allowed(limits, Switches(account_tier=Tier(9))) for _ in range(3))
    assert not is_allowed(limits, Switches(account_tier=Tier(3)))


def test_the_provider_s_reset_is_the_time_until_its_oldest_call_ends():
    clock = ManualClock()
    limits = RateLimits(clock)
    switches = Switches(provider_tier=Tier(5, seconds=60))
    limits.check(switches, SWEEPING, "provider")
    clock.seconds = 12.5
    assert limits.check(switches, SWEEPING, "provider") == {
        "ratelimit-limit": "5;w=60",
        "ratelimit-remaining": "3",
        "ratelimit-reset": "48",
    }
