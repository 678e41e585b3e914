"""The limits on calls, and the headers that tell of them."""

from collections.abc import Iterator

import pytest

from lms_pipeline.sandbox.http import Refusal
from lms_pipeline.sandbox.server import RunningSandbox, running
from lms_pipeline.sandbox.wire.limits import Limits
from lms_pipeline.sandbox.wire.switches import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, Switches, Tier
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, client_of

USERS = "/unified/lms/users"
LOW = Switches(account_tier=Tier(2))


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running(SmallWorld()) as sandbox:
        yield sandbox


def test_the_tiers_of_truto_are_those_of_its_docs():
    assert (Tier(500, 10), Tier(50, 10)) == (TRUTO_TOKEN_TIER, TRUTO_ACCOUNT_TIER)


def test_without_switches_nothing_is_limited(sandbox):
    with client_of(sandbox) as client:
        answers = [client.get(USERS, params={"integrated_account_id": SWEEPING}) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any(name.startswith("ratelimit") for name in answers[0].headers)


def test_an_account_that_is_asked_too_often_is_refused_and_the_others_are_not(sandbox):
    sandbox.switch(LOW)
    with client_of(sandbox) as client:
        statuses = [
            client.get(USERS, params={"integrated_account_id": account}).status_code
            for account in (SWEEPING, SWEEPING, SWEEPING, PAIRED)
        ]
        refused = client.get(USERS, params={"integrated_account_id": SWEEPING})
    assert statuses == [200, 200, 429, 200]
    assert refused.headers["retry-after"] == "10"
    assert refused.json() == {
        "statusCode": 429,
        "error": "Too Many Requests",
        "message": "Too many requests",
    }
    assert sandbox.stats()["limited"] == {"account": 2}


def test_routes_that_ask_for_no_account_count_for_the_token_alone(sandbox):
    sandbox.switch(Switches(account_tier=Tier(1), token_tier=Tier(3)))
    with client_of(sandbox) as client:
        statuses = [client.get(f"/integrated-account/{SWEEPING}").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert sandbox.stats()["limited"] == {"token": 1}


def test_a_provider_tells_of_its_limit_in_headers_and_refuses_in_its_own_name(sandbox):
    sandbox.switch(Switches(provider_tier=Tier(2)))
    with client_of(sandbox) as client:
        first, second, third = (
            client.get(USERS, params={"integrated_account_id": SWEEPING}) for _ in range(3)
        )
        meta = client.get(f"{USERS}/meta/list", params={"integrated_account_id": SWEEPING})
    told = [
        tuple(answer.headers[f"ratelimit-{name}"] for name in ("limit", "remaining"))
        for answer in (first, second, third)
    ]
    assert told == [("2;w=10", "1"), ("2;w=10", "0"), ("2;w=10", "0")]
    assert 0 < int(third.headers["ratelimit-reset"]) <= 10
    assert third.status_code == 429
    assert third.json()["truto_is_remote_error"] is True
    assert "rate_limit_error" in third.json()["truto_error_insight"]
    assert meta.status_code == 200
    assert "ratelimit-limit" not in meta.headers


def test_calls_count_for_as_long_as_the_tier_says():
    now = 0.0
    limits = Limits(clock=lambda: now)

    def passes() -> bool:
        try:
            limits.check(LOW, SWEEPING, "provider")
        except Refusal:
            return False
        return True

    for now, expected in [  # noqa: B007 - the clock reads it
        *((0.0, True), (5.0, True), (9.9, False)),
        *((10.0, True), (10.1, False), (15.0, True)),
    ]:
        assert passes() is expected


@pytest.mark.parametrize(
    "body", [{"account_tier": {"calls": 0}}, {"account_teir": None}, {"not_enrolled": 500}, [1]]
)
def test_switches_that_can_not_be_are_refused_and_the_old_ones_stay(small, body):
    before = small.get("/_sandbox/switches").json()
    answer = small.put("/_sandbox/switches", json=body)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert small.get("/_sandbox/switches").json() == before


def test_switches_are_set_over_http(sandbox):
    with client_of(sandbox) as client:
        told = client.put("/_sandbox/switches", json={"token_tier": {"calls": 5}, "not_enrolled": 400}).json()
        assert told["token_tier"] == {"calls": 5, "seconds": 10}
        pair = {"integrated_account_id": PAIRED, "user[id]": "u1", "course[id]": "none"}
        assert client.get("/unified/lms/course-enrollments", params=pair).status_code == 400
