"""The routes below `/integrated-account`."""

import pytest

from lms_pipeline.sandbox.server import running
from lms_pipeline.sandbox.wire.switches import Switches
from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING, SmallWorld, client_of, sweep

ALL = [SWEEPING, PAIRED, BROKEN, CRM]


def test_an_account_is_told_with_its_integration(small):
    assert small.get(f"/integrated-account/{PAIRED}").json() == {
        "id": PAIRED,
        "tenant_id": f"tenant-{PAIRED}",
        "status": "active",
        "is_sandbox": False,
        "integration": {"id": "talentlms", "name": "talentlms", "category": "lms"},
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2020-01-01T00:00:00Z",
        "authentication_method": "api_key",
        "context": {},
    }


def test_an_unknown_account_is_not_found(small):
    assert small.get("/integrated-account/nobody").status_code == 404


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, ALL),
        ({"integration.name": "talentlms"}, [PAIRED]),
        ({"integration[name]": "talentlms"}, [PAIRED]),
        ({"status": "active"}, [SWEEPING, PAIRED, CRM]),
        ({"tenant_id": "tenant-crm"}, [CRM]),
        ({"is_sandbox": "true"}, [BROKEN]),
        ({"is_sandbox": "false", "status": "needs_reauth"}, []),
        ({"status": ""}, ALL),
    ],
)
def test_accounts_are_filtered(small, parameters, found):
    assert [account["id"] for account in sweep(small, "/integrated-account", **parameters)] == found


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_accounts_come_in_pages(small, limit):
    assert [account["id"] for account in sweep(small, "/integrated-account", limit=limit)] == ALL


def test_a_flag_that_is_neither_true_nor_false_is_refused(small):
    assert small.get("/integrated-account?is_sandbox=perhaps").status_code == 400


def test_the_list_tells_its_limit_and_no_count(small):
    answer = small.get("/integrated-account", params={"limit": 3}).json()
    assert set(answer) == {"result", "next_cursor", "limit"}
    assert answer["limit"] == 3


def test_the_list_may_be_under_results():
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        sandbox.switch(Switches(accounts_under="results"))
        assert [account["id"] for account in client.get("/integrated-account").json()["results"]] == ALL
