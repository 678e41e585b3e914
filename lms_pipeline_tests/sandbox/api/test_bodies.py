"""The formats of a response, and the parameters that shape it."""

import json
from collections.abc import Iterator

import httpx
import pytest

from lms_pipeline.sandbox import Record, Switches, running
from lms_pipeline.sandbox.api.bodies import encode_page
from lms_pipeline.sandbox.api.query import read_query
from lms_pipeline.sandbox.http import DEBUG_SECRET, Parameters
from lms_pipeline.sandbox.pagination import Page, Place
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, fetch_all, open_client

ENROLLMENTS, USERS = "/unified/lms/course-enrollments", "/unified/lms/users"
SWEPT = {"integrated_account_id": SWEEPING}
PAIR = {"integrated_account_id": PAIRED, "user[id]": "u1", "course[id]": "c1"}


@pytest.fixture(scope="module")
def many() -> Iterator[httpx.Client]:
    """1,200 learners: more than two pages of the largest size."""
    with running(SmallWorld(1_200)) as sandbox, open_client(sandbox) as client:
        yield client


class TestUnified:
    def test_a_page_has_its_count_and_no_cursor_back(self, small):
        page = small.get(USERS, params=SWEPT | {"limit": "5"}).json()
        assert set(page) == {"result", "next_cursor", "prev_cursor", "result_count"}
        assert (page["prev_cursor"], page["result_count"]) == (None, 5)

    def test_an_ignored_limit_is_the_default_limit(self, many):
        pages = [
            many.get(USERS, params=SWEPT | {"limit": "7", "truto_ignore_limit": flag}).json()["result"]
            for flag in ("true", "false")
        ]
        assert list(map(len, pages)) == [100, 7]

    def test_an_ignored_limit_may_be_anything(self, small):
        assert small.get(USERS, params=SWEPT | {"limit": "0", "truto_ignore_limit": "true"}).status_code == 200

    @pytest.mark.parametrize(
        "query",
        [
            "truto_exclude_fields[]=user&truto_exclude_fields[]=course",
            "truto_exclude_fields%5B0%5D=user&truto_exclude_fields%5B1%5D=course",
            "truto_exclude_fields=user,course",
        ],
    )
    def test_excluded_fields_are_left_out(self, small, query):
        response = small.get(f"{ENROLLMENTS}?integrated_account_id={SWEEPING}&limit=1&{query}")
        assert response.json()["result"] == [{"id": "e-u0", "remote_data": {"role": "learner"}}]

    def test_remote_data_and_absent_fields_can_be_excluded(self, small):
        parameters = SWEPT | {"limit": "1", "truto_exclude_fields": "remote_data,id,user,course,nothing"}
        assert small.get(ENROLLMENTS, params=parameters).json()["result"] == [{}]

    def test_a_single_object_leaves_excluded_fields_out_too(self, small):
        parameters = SWEPT | {"truto_exclude_fields[]": "remote_data"}
        assert small.get(f"{USERS}/u1", params=parameters).json() == {"id": "u1"}

    def test_a_query_may_be_only_a_question_mark(self, small):
        assert small.get("/integrated-account?").status_code == 200


class TestKeyed:
    def test_records_are_keyed_by_a_field_even_if_it_is_excluded(self, small):
        parameters = SWEPT | {"limit": "2", "truto_key_by": "id", "truto_exclude_fields": "id"}
        assert small.get(USERS, params=parameters).json()["result"] == {
            "u0": {"remote_data": {"login": "u0"}},
            "u1": {"remote_data": {"login": "u1"}},
        }

    def test_the_last_record_of_a_key_wins_and_the_count_is_of_all(self, small):
        parameters = SWEPT | {"truto_key_by": "nothing", "truto_ignore_remote_data": "true"}
        page = small.get(USERS, params=parameters).json()
        assert page["result"] == {"undefined": {"id": "u11"}}
        assert page["result_count"] == 12


class TestRaw:
    def test_comes_in_an_envelope_or_bare(self):
        with running(SmallWorld(3)) as sandbox, open_client(sandbox) as client:
            parameters = SWEPT | {"truto_response_format": "raw", "limit": "2"}
            records = [{"login": "u0"}, {"login": "u1"}]
            enveloped = client.get(USERS, params=parameters).json()
            assert enveloped["result"] == records
            assert enveloped["next_cursor"]
            sandbox.switch(Switches(raw_body="bare"))
            assert client.get(USERS, params=parameters).json() == records

    def test_of_a_pair_comes_bare_or_in_an_envelope_whatever_the_lists_are(self):
        pair = {"user[id]": "u1", "course[id]": "c1", "truto_response_format": "raw"}
        parameters = {"integrated_account_id": PAIRED} | pair
        with running(SmallWorld(3)) as sandbox, open_client(sandbox) as client:
            sandbox.switch(Switches(raw_body="bare", raw_pair="envelope"))
            enveloped = client.get(ENROLLMENTS, params=parameters).json()
            assert (enveloped["result"], enveloped["next_cursor"]) == ([{"role": "learner"}], None)
            sandbox.switch(Switches(raw_body="envelope", raw_pair="bare"))
            assert client.get(ENROLLMENTS, params=parameters).json() == {"role": "learner"}

    def test_ignores_the_parameters_of_the_unified_format(self, small):
        parameters = SWEPT | {
            "truto_response_format": "raw",
            "truto_key_by": "id",
            "truto_exclude_fields": "login",
            "truto_ignore_remote_data": "true",
        }
        assert fetch_all(small, USERS, **parameters)[0] == {"login": "u0"}


class TestNormalized:
    def test_has_records_that_refer_to_learners_and_courses_by_id(self, small):
        page = small.get(ENROLLMENTS, params=SWEPT | {"truto_response_format": "normalized", "limit": "2"})
        assert page.json()["result"] == {
            "records": {
                "e-u0": {"id": "e-u0", "user": "u0", "course": "c1"},
                "e-u1": {"id": "e-u1", "user": "u1", "course": "c1"},
            },
            "user": {"u0": {"id": "u0"}, "u1": {"id": "u1"}},
            "course": {"c1": {"id": "c1"}},
        }

    def test_keeps_values_that_are_no_references(self):
        records = [Record(b'{"user":null,"course":{"id":1}}', None), Record(b'{"id":"e","user":5}', None)]
        query = read_query(Parameters([("truto_response_format", "normalized")]))
        body = encode_page(Page(records, Place(0)), query, None)
        assert json.loads(body)["result"] == {
            "records": {"0": {"user": None, "course": "1"}, "e": {"id": "e", "user": 5}},
            "user": {},
            "course": {"1": {"id": 1}},
        }


class TestStream:
    def test_returns_all_of_the_provider_s_objects_in_chunks(self, many):
        with many.stream("GET", USERS, params=SWEPT | {"truto_response_format": "stream"}) as response:
            assert response.headers["transfer-encoding"] == "chunked"
            assert response.headers["content-type"] == "application/x-ndjson"
            lines = response.read().decode().splitlines()
        assert list(map(json.loads, lines)) == [{"login": f"u{number}"} for number in range(1_200)]

    def test_respects_a_limit(self, small):
        parameters = SWEPT | {"truto_response_format": "stream", "limit": "3"}
        assert small.get(USERS, params=parameters).text.count("\n") == 3

    def test_of_a_pair_is_the_provider_s_object(self, small):
        response = small.get(ENROLLMENTS, params=PAIR | {"truto_response_format": "stream"})
        assert response.json() == {"role": "learner"}


def test_the_debug_format_contains_credentials(small):
    page = small.get(USERS, params=SWEPT | {"truto_response_format": "debug", "limit": "1"}).json()
    assert page["result"] == [{"id": "u0", "remote_data": {"login": "u0"}}]
    assert DEBUG_SECRET in json.dumps(page["debug"])


class TestRemoteQuery:
    def test_filters_by_a_field_that_the_provider_knows(self, small):
        assert fetch_all(small, USERS, **SWEPT, **{"remote_query[login]": "u7"}) == [
            {"id": "u7", "remote_data": {"login": "u7"}}
        ]

    @pytest.mark.parametrize("name", ["remote_query[unknown]", "remote_query[login][deep]", "remote_query"])
    def test_is_ignored_for_an_unknown_field(self, small, name):
        assert len(fetch_all(small, USERS, **SWEPT, **{name: "u7"})) == 12

    def test_that_matches_few_records_makes_no_empty_page(self, many):
        assert len(fetch_all(many, USERS, **SWEPT, **{"remote_query[login]": "u1199"}, limit=1)) == 1


def test_the_spelling_of_the_vendors_snippets_is_the_same_route(small):
    response = small.get("/unified/lms/courseenrollments", params=SWEPT)
    assert len(response.json()["result"]) == 12
    assert small.get("/_sandbox/requests").json()["requests"][-1]["path"] == "/unified/lms/courseenrollments"
    counts = small.get("/_sandbox/stats").json()["requests"][SWEEPING]
    assert f"GET {ENROLLMENTS}" in counts
