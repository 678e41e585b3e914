"""The routes of accounts, capabilities and metadata."""

import pytest

from lms_pipeline.sandbox import Switches, running
from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING, SmallWorld, fetch_all, open_client

ALL = [SWEEPING, PAIRED, BROKEN, CRM]


def fetch_capabilities(client, account_id, **parameters):
    return client.get(f"/integrated-account/{account_id}/capabilities", params=parameters).json()


def fetch_metadata(client, account_id, resource="course-enrollments", method="list"):
    path = f"/unified/lms/{resource}/meta/{method}"
    return client.get(path, params={"integrated_account_id": account_id})


class TestAccounts:
    def test_one_comes_with_its_integration(self, small):
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

    def test_an_unknown_one_is_not_found(self, small):
        assert small.get("/integrated-account/nobody").status_code == 404

    @pytest.mark.parametrize(
        ("parameters", "expected"),
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
    def test_are_filtered(self, small, parameters, expected):
        assert [account["id"] for account in fetch_all(small, "/integrated-account", **parameters)] == expected

    @pytest.mark.parametrize("limit", [1, 2, 3, 4])
    def test_come_in_pages(self, small, limit):
        assert [account["id"] for account in fetch_all(small, "/integrated-account", limit=limit)] == ALL

    def test_a_flag_that_is_neither_true_nor_false_is_refused(self, small):
        assert small.get("/integrated-account?is_sandbox=perhaps").status_code == 400

    def test_the_list_has_its_limit_and_no_count(self, small):
        body = small.get("/integrated-account", params={"limit": 3}).json()
        assert set(body) == {"result", "next_cursor", "limit"}
        assert body["limit"] == 3

    def test_the_list_may_be_under_results(self):
        with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
            sandbox.switch(Switches(accounts_under="results"))
            body = client.get("/integrated-account").json()
        assert [account["id"] for account in body["results"]] == ALL


class TestCapabilities:
    def test_of_an_lms_are_the_resources_of_the_unified_model(self, small):
        body = fetch_capabilities(small, SWEEPING, type="unified")
        assert {(one["model"], one["resource"], *one["methods"]) for one in body["unified"]} == {
            ("lms", "course-enrollments", "list"),
            ("lms", "users", "get", "list"),
            ("lms", "courses", "get", "list"),
        }
        assert body["integration"]["category"] == "lms"

    def test_of_another_category_have_another_model(self, small):
        assert {one["model"] for one in fetch_capabilities(small, CRM)["unified"]} == {"crm"}

    def test_exist_for_a_broken_account(self, small):
        body = fetch_capabilities(small, BROKEN)
        assert body["account"]["status"] == "needs_reauth"
        assert body["unified"]

    def test_are_filtered(self, small):
        users = fetch_capabilities(small, SWEEPING, resource="users")
        assert [one["resource"] for one in users["unified"]] == ["users"]
        assert fetch_capabilities(small, SWEEPING, type="proxy")["unified"] == []
        assert small.get(f"/integrated-account/{SWEEPING}/capabilities?type=x").status_code == 400


class TestMetadata:
    def test_marks_the_pair_as_required_where_the_account_requires_it(self, small):
        properties = fetch_metadata(small, PAIRED).json()["query_schema"]["properties"]
        required = {
            name: (one["required"], [inner for inner, its in one["properties"].items() if its["required"]])
            for name, one in properties.items()
            if "properties" in one
        }
        assert required == {"user": (True, ["id"]), "course": (True, ["id"])}
        assert properties["limit"]["required"] is False

    def test_marks_nothing_as_required_where_a_sweep_works(self, small):
        schema = fetch_metadata(small, SWEEPING).json()["query_schema"]
        assert set(schema["properties"]) == {"user", "course", "limit", "next_cursor"}
        assert not any(one["required"] for one in schema["properties"].values())

    def test_of_talentlms_has_the_fields_of_the_vendors_page(self, small):
        assert set(fetch_metadata(small, PAIRED).json()["schema"]["properties"]) == {
            *("id", "completed_at", "course", "enrolled_at", "progress_percent"),
            *("status", "time_spent_seconds", "updated_at", "user"),
        }
        assert len(fetch_metadata(small, SWEEPING).json()["schema"]["properties"]) == 22

    def test_exists_for_a_broken_account(self, small):
        assert fetch_metadata(small, BROKEN).status_code == 200

    @pytest.mark.parametrize(
        ("account_id", "resource", "method", "status"),
        [
            ("nobody", "users", "list", 404),
            (CRM, "users", "list", 404),
            (SWEEPING, "lessons", "list", 404),
            (SWEEPING, "course-enrollments", "create", 404),
            ("", "users", "list", 400),
        ],
    )
    def test_of_an_unknown_method_is_refused(self, small, account_id, resource, method, status):
        assert fetch_metadata(small, account_id, resource, method).status_code == status
