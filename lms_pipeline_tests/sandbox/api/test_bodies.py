"""The formats of an answer, and what else shapes it."""

import json
from collections.abc import Iterator

import httpx
import pytest

from lms_pipeline.sandbox.api.bodies import Written, page_body
from lms_pipeline.sandbox.api.query import read_query
from lms_pipeline.sandbox.server import running
from lms_pipeline.sandbox.wire.debugging import SECRET
from lms_pipeline.sandbox.wire.parameters import Parameters
from lms_pipeline.sandbox.wire.switches import Switches
from lms_pipeline.sandbox.world import Record
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, client_of, sweep

ENROLLMENTS, USERS = "/unified/lms/course-enrollments", "/unified/lms/users"
SWEPT = {"integrated_account_id": SWEEPING}
PAIR = {"integrated_account_id": PAIRED, "user[id]": "u1", "course[id]": "c1"}


@pytest.fixture(scope="module")
def many() -> Iterator[httpx.Client]:
    """1,200 learners: more than two pages of the largest size."""
    with running(SmallWorld(1_200)) as sandbox, client_of(sandbox) as client:
        yield client


class TestUnified:
    def test_a_page_counts_its_records_and_tells_no_cursor_back(self, small):
        page = small.get(USERS, params=SWEPT | {"limit": "5"}).json()
        assert set(page) == {"result", "next_cursor", "prev_cursor", "result_count"}
        assert (page["prev_cursor"], page["result_count"]) == (None, 5)

    def test_an_ignored_limit_is_as_one_that_was_not_told(self, many):
        pages = [
            many.get(USERS, params=SWEPT | {"limit": "7", "truto_ignore_limit": flag}).json()["result"]
            for flag in ("true", "false")
        ]
        assert list(map(len, pages)) == [100, 7]

    @pytest.mark.parametrize(
        "query",
        [
            "truto_exclude_fields[]=user&truto_exclude_fields[]=course",
            "truto_exclude_fields%5B0%5D=user&truto_exclude_fields%5B1%5D=course",
            "truto_exclude_fields=user,course",
        ],
    )
    def test_excluded_fields_are_left_out(self, small, query):
        answer = small.get(f"{ENROLLMENTS}?integrated_account_id={SWEEPING}&limit=1&{query}")
        assert answer.json()["result"] == [{"id": "e-u0", "remote_data": {"role": "learner"}}]

    def test_what_the_provider_said_and_fields_that_are_not_there_can_be_excluded(self, small):
        parameters = SWEPT | {"limit": "1", "truto_exclude_fields": "remote_data,id,user,course,nothing"}
        assert small.get(ENROLLMENTS, params=parameters).json()["result"] == [{}]

    def test_a_single_object_leaves_excluded_fields_out_too(self, small):
        parameters = SWEPT | {"truto_exclude_fields[]": "remote_data"}
        assert small.get(f"{USERS}/u1", params=parameters).json() == {"id": "u1"}

    def test_a_query_may_be_nothing_but_a_question_mark(self, small):
        assert small.get("/integrated-account?").status_code == 200


class TestKeyed:
    def test_records_are_keyed_by_a_field_even_if_it_is_left_out(self, small):
        parameters = SWEPT | {"limit": "2", "truto_key_by": "id", "truto_exclude_fields": "id"}
        assert small.get(USERS, params=parameters).json()["result"] == {
            "u0": {"remote_data": {"login": "u0"}},
            "u1": {"remote_data": {"login": "u1"}},
        }

    def test_of_records_with_one_key_the_last_stays_and_the_count_tells_of_all(self, small):
        parameters = SWEPT | {"truto_key_by": "nothing", "truto_ignore_remote_data": "true"}
        page = small.get(USERS, params=parameters).json()
        assert page["result"] == {"undefined": {"id": "u11"}}
        assert page["result_count"] == 12


class TestRaw:
    def test_comes_in_an_envelope_or_bare(self):
        with running(SmallWorld(3)) as sandbox, client_of(sandbox) as client:
            parameters = SWEPT | {"truto_response_format": "raw", "limit": "2"}
            told = [{"login": "u0"}, {"login": "u1"}]
            enveloped = client.get(USERS, params=parameters).json()
            assert enveloped["result"] == told
            assert enveloped["next_cursor"]
            sandbox.switch(Switches(raw_body="bare"))
            assert client.get(USERS, params=parameters).json() == told

    def test_is_unprocessed_whatever_else_is_asked(self, small):
        parameters = SWEPT | {
            "truto_response_format": "raw",
            "truto_key_by": "id",
            "truto_exclude_fields": "login",
            "truto_ignore_remote_data": "true",
        }
        assert sweep(small, USERS, **parameters)[0] == {"login": "u0"}


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


class TestStream:
    def test_brings_all_that_the_provider_says_in_pieces(self, many):
        with many.stream("GET", USERS, params=SWEPT | {"truto_response_format": "stream"}) as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.headers["content-type"] == "application/x-ndjson"
            lines = answer.read().decode().splitlines()
        assert list(map(json.loads, lines)) == [{"login": f"u{number}"} for number in range(1_200)]

    def test_keeps_to_a_limit(self, small):
        parameters = SWEPT | {"truto_response_format": "stream", "limit": "3"}
        assert small.get(USERS, params=parameters).text.count("\n") == 3

    def test_of_a_pair_is_the_providers_object(self, small):
        answer = small.get(ENROLLMENTS, params=PAIR | {"truto_response_format": "stream"})
        assert answer.json() == {"role": "learner"}


def test_debug_tells_what_nobody_should_keep(small):
    page = small.get(USERS, params=SWEPT | {"truto_response_format": "debug", "limit": "1"}).json()
    assert page["result"] == [{"id": "u0", "remote_data": {"login": "u0"}}]
    assert SECRET in json.dumps(page["debug"])


class TestRemoteQuery:
    def test_is_applied_where_the_provider_knows_the_field(self, small):
        assert sweep(small, USERS, **SWEPT, **{"remote_query[login]": "u7"}) == [
            {"id": "u7", "remote_data": {"login": "u7"}}
        ]

    @pytest.mark.parametrize("name", ["remote_query[unknown]", "remote_query[login][deep]", "remote_query"])
    def test_is_ignored_without_a_word_where_it_does_not(self, small, name):
        assert len(sweep(small, USERS, **SWEPT, **{name: "u7"})) == 12

    def test_that_leaves_few_records_makes_no_empty_page(self, many):
        assert len(sweep(many, USERS, **SWEPT, **{"remote_query[login]": "u1199"}, limit=1)) == 1


def test_the_spelling_of_the_vendors_snippets_is_the_same_route(small):
    answer = small.get("/unified/lms/courseenrollments", params=SWEPT)
    assert len(answer.json()["result"]) == 12
    assert small.get("/_sandbox/requests").json()["requests"][-1]["path"] == "/unified/lms/courseenrollments"
    counts = small.get("/_sandbox/stats").json()["requests"][SWEEPING]
    assert f"GET {ENROLLMENTS}" in counts


def test_normalized_takes_records_whose_references_are_none():
    records = [Record(b'{"user":null,"course":{"id":1}}', None), Record(b'{"id":"e","user":5}', None)]
    body = page_body(records, read_query(Parameters("truto_response_format=normalized")), Written())
    assert json.loads(body)["result"] == {
        "records": {"0": {"user": None, "course": "1"}, "e": {"id": "e", "user": 5}},
        "user": {},
        "course": {"1": {"id": 1}},
    }
