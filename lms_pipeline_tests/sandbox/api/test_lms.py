"""The routes below `/unified/lms`: lists, single objects, and their refusals."""

import httpx
import pytest

from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING, fetch_all, iterate_pages

ENROLLMENTS, USERS, COURSES = (f"/unified/lms/{name}" for name in ("course-enrollments", "users", "courses"))
OF_SWEEPING, OF_PAIRED = {"integrated_account_id": SWEEPING}, {"integrated_account_id": PAIRED}


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 13, 10_000_000_000])
def test_a_sweep_returns_every_enrollment_once_and_no_empty_page(small, limit):
    pages = list(iterate_pages(small, ENROLLMENTS, **OF_SWEEPING, limit=limit))
    assert all(pages)
    assert [one["id"] for page in pages for one in page] == [f"e-u{number}" for number in range(12)]
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_a_record_has_the_provider_s_object(small):
    assert fetch_all(small, ENROLLMENTS, **OF_SWEEPING)[0] == {
        "id": "e-u0",
        "user": {"id": "u0"},
        "course": {"id": "c1"},
        "remote_data": {"role": "learner"},
    }


def test_the_provider_s_object_can_be_left_out(small):
    [record] = fetch_all(small, ENROLLMENTS, **OF_SWEEPING, **{"user[id]": "u1", "truto_ignore_remote_data": "true"})
    assert record == {"id": "e-u1", "user": {"id": "u1"}, "course": {"id": "c1"}}


def test_the_raw_format_is_the_provider_s_object(small):
    assert fetch_all(small, COURSES, **OF_SWEEPING, truto_response_format="raw") == [{"code": "C1"}]
    raw = small.get(f"{COURSES}/c1", params=OF_PAIRED | {"truto_response_format": "raw"}).json()
    assert list(raw) == ["users"]


@pytest.mark.parametrize("query", ["user[id]=u7", "user%5Bid%5D=u7", "user[id]=u7&course[id]=c1&"])
def test_brackets_may_be_encoded_or_not(small, query):
    [record] = small.get(f"{ENROLLMENTS}?integrated_account_id={SWEEPING}&{query}").json()["result"]
    assert record["user"]["id"] == "u7"


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5", "٣"])
def test_a_limit_that_is_no_positive_integer_is_refused(small, limit):
    assert small.get(USERS, params=OF_SWEEPING | {"limit": limit}).status_code == 400


class TestCursor:
    def fetch_cursor(self, small: httpx.Client) -> str:
        return str(small.get(USERS, params=OF_SWEEPING | {"limit": "5"}).json()["next_cursor"])

    def test_is_valid_for_another_page_size(self, small):
        parameters = OF_SWEEPING | {"limit": "7", "next_cursor": self.fetch_cursor(small)}
        page = small.get(USERS, params=parameters).json()
        assert [user["id"] for user in page["result"]] == [f"u{number}" for number in range(5, 12)]

    @pytest.mark.parametrize("invalid", ["x", "!!!!", "AAAA", "äöü", "AAAAAAAFAAAAAAAAAAAAAAAA"])
    def test_from_elsewhere_is_refused(self, small, invalid):
        response = small.get(USERS, params=OF_SWEEPING | {"next_cursor": invalid})
        assert (response.status_code, response.json()["message"]) == (400, "Invalid next_cursor")

    def test_of_another_route_account_or_filter_is_refused(self, small):
        cursor = {"next_cursor": self.fetch_cursor(small)}
        assert small.get(ENROLLMENTS, params=OF_SWEEPING | cursor).status_code == 400
        assert small.get(USERS, params=OF_PAIRED | cursor).status_code == 400
        filtered = OF_SWEEPING | cursor | {"remote_query[login]": "u1"}
        assert small.get(USERS, params=filtered).status_code == 400


class TestAccountThatRequiresThePair:
    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ({}, ["user[id]", "course[id]"]),
            ({"user[id]": "u1"}, ["course[id]"]),
            ({"course[id]": "c1", "user[id]": ""}, ["user[id]"]),
        ],
    )
    def test_names_the_missing_parameters(self, small, given, missing):
        response = small.get(ENROLLMENTS, params=OF_PAIRED | given)
        assert response.status_code == 400
        insight = response.json()["truto_error_insight"]["missing_required_query_parameters"]
        assert insight["value"] == missing
        assert insight["description"]

    def test_returns_one_record_and_no_cursor(self, small):
        page = small.get(ENROLLMENTS, params=OF_PAIRED | {"user[id]": "u1", "course[id]": "c1"}).json()
        assert [record["id"] for record in page["result"]] == ["e-u1"]
        assert page["next_cursor"] is None

    def test_returns_raw_without_an_envelope(self, small):
        pair = {"user[id]": "u1", "course[id]": "c1", "truto_response_format": "raw"}
        assert small.get(ENROLLMENTS, params=OF_PAIRED | pair).json() == {"role": "learner"}

    def test_passes_on_the_provider_s_error_for_a_pair_that_does_not_exist(self, small):
        response = small.get(ENROLLMENTS, params=OF_PAIRED | {"user[id]": "u1", "course[id]": "c2"})
        message = "The requested user is not enrolled in this course"
        assert response.status_code == 404
        assert response.json() == {
            "statusCode": 404,
            "error": "Not Found",
            "message": message,
            "truto_is_remote_error": True,
            "raw_response": {"error": {"type": "invalid_request_error", "message": message}},
            "truto_error_insight": {"remote_error": {"description": "The error comes from the integration itself."}},
        }


class TestSingleObject:
    def test_comes_without_an_envelope(self, small):
        course = small.get(f"{COURSES}/c1", params=OF_PAIRED).json()
        assert course["id"] == "c1"
        assert len(course["remote_data"]["users"]) == 12
        assert small.get(f"{USERS}/u3", params=OF_PAIRED).json()["remote_data"] == {"courses": ["c1"]}

    @pytest.mark.parametrize("path", [f"{USERS}/nobody", f"{COURSES}/nothing"])
    def test_that_the_provider_does_not_have_is_the_provider_s_error(self, small, path):
        response = small.get(path, params=OF_SWEEPING)
        assert response.status_code == 404
        assert response.json()["truto_is_remote_error"] is True


class TestRefusal:
    @pytest.mark.parametrize("path", [USERS, "/integrated-account", "/nowhere"])
    @pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "sandbox-token"}])
    def test_without_the_token(self, small, path, header):
        request = small.build_request("GET", path, headers=header)
        if not header:
            del request.headers["Authorization"]
        response = small.send(request)
        assert response.status_code == 401
        assert response.json() == {"statusCode": 401, "error": "Unauthorized", "message": "Unauthorized"}

    def test_without_an_account(self, small):
        response = small.get(USERS)
        assert response.status_code == 400
        assert "integrated_account_id" in response.json()["message"]

    @pytest.mark.parametrize(
        ("account_id", "status", "remote"), [("nobody", 404, False), (BROKEN, 401, True), (CRM, 400, False)]
    )
    def test_of_an_account_without_records(self, small, account_id, status, remote):
        response = small.get(USERS, params={"integrated_account_id": account_id})
        assert response.status_code == status
        assert response.json().get("truto_is_remote_error", False) is remote

    @pytest.mark.parametrize("name", ["xml", "Unified", "raw,unified"])
    def test_of_an_unknown_format(self, small, name):
        response = small.get(USERS, params=OF_SWEEPING | {"truto_response_format": name})
        assert response.status_code == 400

    @pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("POST", "/nowhere"), ("GET", f"{USERS}/")])
    def test_of_an_unknown_route(self, small, method, path):
        response = small.request(method, path, params=OF_SWEEPING)
        assert response.status_code == 404
        assert response.json()["message"] == f"Cannot {method} {path}"

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_of_a_method_that_writes(self, small, method):
        response = small.request(method, f"{USERS}/u1", params=OF_SWEEPING)
        assert (response.status_code, response.json()["error"]) == (405, "Method Not Allowed")
