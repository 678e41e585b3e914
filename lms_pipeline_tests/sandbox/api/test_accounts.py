"""The routes that tell what an account can do."""

import pytest

from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING


def capabilities(client, account_id, **parameters):
    return client.get(f"/integrated-account/{account_id}/capabilities", params=parameters).json()


def meta(client, account_id, resource="course-enrollments", method="list"):
    path = f"/unified/lms/{resource}/meta/{method}"
    return client.get(path, params={"integrated_account_id": account_id})


def test_an_lms_has_the_resources_of_the_unified_model(small):
    told = capabilities(small, SWEEPING, type="unified")
    assert {(one["model"], one["resource"], *one["methods"]) for one in told["unified"]} == {
        ("lms", "course-enrollments", "list"),
        ("lms", "users", "get", "list"),
        ("lms", "courses", "get", "list"),
    }
    assert told["integration"]["category"] == "lms"


def test_what_is_no_lms_has_another_model(small):
    assert {one["model"] for one in capabilities(small, CRM)["unified"]} == {"crm"}


def test_a_broken_account_still_tells_what_it_could_do(small):
    told = capabilities(small, BROKEN)
    assert told["account"]["status"] == "needs_reauth"
    assert told["unified"]


def test_capabilities_are_filtered(small):
    assert [one["resource"] for one in capabilities(small, SWEEPING, resource="users")["unified"]] == [
        "users"
    ]
    assert capabilities(small, SWEEPING, type="proxy")["unified"] == []
    assert small.get(f"/integrated-account/{SWEEPING}/capabilities?type=x").status_code == 400


def test_an_account_that_demands_the_pair_says_so(small):
    properties = meta(small, PAIRED).json()["query_schema"]["properties"]
    required = {
        name: (of["required"], [inner for inner, its in of["properties"].items() if its["required"]])
        for name, of in properties.items()
        if "properties" in of
    }
    assert required == {"user": (True, ["id"]), "course": (True, ["id"])}
    assert properties["limit"]["required"] is False


def test_an_account_that_can_be_swept_requires_nothing(small):
    schema = meta(small, SWEEPING).json()["query_schema"]
    assert set(schema["properties"]) == {"user", "course", "limit", "next_cursor"}
    assert not any(of["required"] for of in schema["properties"].values())


def test_the_fields_that_talentlms_fills_are_those_of_the_vendors_page(small):
    assert set(meta(small, PAIRED).json()["schema"]["properties"]) == {
        *("id", "completed_at", "course", "enrolled_at", "progress_percent"),
        *("status", "time_spent_seconds", "updated_at", "user"),
    }
    assert len(meta(small, SWEEPING).json()["schema"]["properties"]) == 22


def test_metadata_asks_no_provider_so_that_a_broken_account_has_them(small):
    assert meta(small, BROKEN).status_code == 200


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
def test_metadata_of_what_is_not_there(small, account_id, resource, method, status):
    assert meta(small, account_id, resource, method).status_code == status
