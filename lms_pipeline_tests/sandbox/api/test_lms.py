"""The routes below `/unified/lms`."""

import httpx
import pytest

from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING, pages_of, sweep

ENROLLMENTS, USERS, COURSES = (f"/unified/lms/{name}" for name in ("course-enrollments", "users", "courses"))
OF_SWEEPING, OF_PAIRED = {"integrated_account_id": SWEEPING}, {"integrated_account_id": PAIRED}


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 13, 10_000_000_000])
def test_a_sweep_gives_every_enrollment_once_and_no_empty_page(small, limit):
    pages = list(pages_of(small, ENROLLMENTS, **OF_SWEEPING, limit=limit))
    assert all(pages)
    assert [one["id"] for page in pages for one in page] == [f"e-u{number}" for number in range(12)]
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_a_record_carries_what_the_provider_said(small):
    assert sweep(small, ENROLLMENTS, **OF_SWEEPING)[0] == {
        "id": "e-u0",
        "user": {"id": "u0"},
        "course": {"id": "c1"},
        "remote_data": {"role": "learner"},
    }


def test_what_the_provider_said_can_be_left_out(small):
    [record] = sweep(
        small, ENROLLMENTS, **OF_SWEEPING, **{"user[id]": "u1", "truto_ignore_remote_data": "true"}
    )
    assert record == {"id": "e-u1", "user": {"id": "u1"}, "course": {"id": "c1"}}


def test_the_raw_format_is_what_the_provider_said(small):
    assert sweep(small, COURSES, **OF_SWEEPING, truto_response_format="raw") == [{"code": "C1"}]
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
    def cursor(self, small: httpx.Client) -> str:
        return str(small.get(USERS, params=OF_SWEEPING | {"limit": "5"}).json()["next_cursor"])

    def test_holds_for_another_page_size(self, small):
        answer = small.get(USERS, params=OF_SWEEPING | {"limit": 7, "next_cursor": self.cursor(small)})
        assert [user["id"] for user in answer.json()["result"]] == [f"u{number}" for number in range(5, 12)]

    @pytest.mark.parametrize("bad", ["x", "!!!!", "AAAA", "äöü", "AAAAAAAFAAAAAAAAAAAAAAAA"])
    def test_that_nobody_gave_is_refused(self, small, bad):
        answer = small.get(USERS, params=OF_SWEEPING | {"next_cursor": bad})
        assert (answer.status_code, answer.json()["message"]) == (400, "Invalid next_cursor")

    def test_of_another_route_or_query_is_refused(self, small):
        elsewhere = {"next_cursor": self.cursor(small)}
        assert small.get(ENROLLMENTS, params=OF_SWEEPING | elsewhere).status_code == 400
        assert small.get(USERS, params=OF_PAIRED | elsewhere).status_code == 400
        filtered = OF_SWEEPING | elsewhere | {"remote_query[login]": "u1"}
        assert small.get(USERS, params=filtered).status_code == 400


class TestAccountThatDemandsThePair:
    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ({}, ["user[id]", "course[id]"]),
            ({"user[id]": "u1"}, ["course[id]"]),
            ({"course[id]": "c1", "user[id]": ""}, ["user[id]"]),
        ],
    )
    def test_names_the_parameters_that_are_missing(self, small, given, missing):
        answer = small.get(ENROLLMENTS, params=OF_PAIRED | given)
        assert answer.status_code == 400
        insight = answer.json()["truto_error_insight"]["missing_required_query_parameters"]
        assert insight["value"] == missing
        assert insight["description"]

    def test_answers_one_record_and_no_cursor(self, small):
        page = small.get(ENROLLMENTS, params=OF_PAIRED | {"user[id]": "u1", "course[id]": "c1"}).json()
        assert [record["id"] for record in page["result"]] == ["e-u1"]
        assert page["next_cursor"] is None

    def test_answers_raw_without_an_envelope(self, small):
        pair = {"user[id]": "u1", "course[id]": "c1", "truto_response_format": "raw"}
        assert small.get(ENROLLMENTS, params=OF_PAIRED | pair).json() == {"role": "learner"}

    def test_passes_on_that_a_learner_is_not_enrolled(self, small):
        answer = small.get(ENROLLMENTS, params=OF_PAIRED | {"user[id]": "u1", "course[id]": "c2"})
        message = "The requested user is not enrolled in this course"
        assert answer.status_code == 404
        assert answer.json() == {
            "statusCode": 404,
            "error": "Not Found",
            "message": message,
            "truto_is_remote_error": True,
            "raw_response": {"error": {"type": "invalid_request_error", "message": message}},
            "truto_error_insight": {
                "remote_error": {"description": "The error comes from the integration itself."}
            },
        }


class TestSingleObject:
    def test_comes_without_an_envelope(self, small):
        course = small.get(f"{COURSES}/c1", params=OF_PAIRED).json()
        assert course["id"] == "c1"
        assert len(course["remote_data"]["users"]) == 12
        assert small.get(f"{USERS}/u3", params=OF_PAIRED).json()["remote_data"] == {"courses": ["c1"]}

    @pytest.mark.parametrize("path", [f"{USERS}/nobody", f"{COURSES}/nothing"])
    def test_that_the_provider_does_not_have_is_its_own_error(self, small, path):
        answer = small.get(path, params=OF_SWEEPING)
        assert answer.status_code == 404
        assert answer.json()["truto_is_remote_error"] is True


class TestRefusal:
    @pytest.mark.parametrize("path", [USERS, "/integrated-account", "/nowhere"])
    @pytest.mark.parametrize(
        "header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "sandbox-token"}]
    )
    def test_without_the_token(self, small, path, header):
        request = small.build_request("GET", path, headers=header)
        if not header:
            del request.headers["Authorization"]
        answer = small.send(request)
        assert answer.status_code == 401
        assert answer.json() == {"statusCode": 401, "error": "Unauthorized", "message": "Unauthorized"}

    def test_without_an_account(self, small):
        answer = small.get(USERS)
        assert answer.status_code == 400
        assert "integrated_account_id" in answer.json()["message"]

    @pytest.mark.parametrize(
        ("account_id", "status", "remote"), [("nobody", 404, False), (BROKEN, 401, True), (CRM, 400, False)]
    )
    def test_of_an_account_that_can_not_be_used(self, small, account_id, status, remote):
        answer = small.get(USERS, params={"integrated_account_id": account_id})
        assert answer.status_code == status
        assert answer.json().get("truto_is_remote_error", False) is remote

    @pytest.mark.parametrize("told", ["xml", "Unified", "raw,unified"])
    def test_of_a_format_that_is_not_there(self, small, told):
        answer = small.get(USERS, params=OF_SWEEPING | {"truto_response_format": told})
        assert answer.status_code == 400

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/nowhere"), ("POST", "/nowhere"), ("GET", f"{USERS}/")]
    )
    def test_of_a_route_that_is_not_there(self, small, method, path):
        answer = small.request(method, path, params=OF_SWEEPING)
        assert answer.status_code == 404
        assert answer.json()["message"] == f"Cannot {method} {path}"

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_to_write(self, small, method):
        answer = small.request(method, f"{USERS}/u1", params=OF_SWEEPING)
        assert (answer.status_code, answer.json()["error"]) == (405, "Method Not Allowed")
