"""Single records, raw pages, and bodies of other formats."""

import json

import pytest

from lms_pipeline.sandbox import Switches, running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError, UnreadableFormatError
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, QueryError, UserFilter
from lms_pipeline.truto.request import build_list_request, build_record_request
from lms_pipeline.truto.response import read_record
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, refusal

NORMALIZED = build_list_request("users", ListQuery("acme", response_format="normalized"))
RAW = ListQuery("acme", response_format="raw")
ONCE = RetryPolicy(max_attempts=1)
HOSTILE = ["a/b", "../x", ".", "..", "a b", "a+b", "100%", "%2F", "é", "学习", "a#b", "a?b=c", '"', "😀"]


@pytest.fixture(scope="module")
def sandbox():
    with running(SmallWorld()) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


def read_bytes(body, _received_at):
    return body


class TestSingleRecord:
    def test_has_no_envelope_and_holds_more_than_in_a_list(self, client):
        record = client.fetch_record("courses", "c1", ObjectQuery(PAIRED)).record
        assert json.loads(bytes(record))["remote_data"]["users"][:2] == ["u0", "u1"]

    def test_accepts_the_parameters_of_a_list(self, client):
        query = ObjectQuery(PAIRED, response_format="raw")
        assert json.loads(bytes(client.fetch_record("users", "u1", query).record)) == {"courses": ["c1"]}
        query = ObjectQuery(PAIRED, ignore_remote_data=True)
        assert json.loads(bytes(client.fetch_record("users", "u1", query).record)) == {"id": "u1"}

    def test_that_its_provider_does_not_have_is_none(self, client):
        assert client.fetch_record("users", "nobody", ObjectQuery(PAIRED)) is None

    def test_that_its_provider_does_not_have_is_refused_without_its_id_in_the_message(self, client):
        request = build_record_request("users", "nobody", ObjectQuery(PAIRED))
        with pytest.raises(PermanentError, match="does not exist") as caught:
            client.fetch(request, read_record)
        assert (caught.value.status, caught.value.is_remote) == (404, True)
        assert "nobody" not in str(caught.value)

    def test_of_an_account_that_truto_does_not_know_is_an_error(self, client):
        with pytest.raises(PermanentError, match="account nobody"):
            client.fetch_record("users", "u1", ObjectQuery("nobody"))

    @pytest.mark.parametrize("record_id", HOSTILE)
    def test_is_requested_by_any_id(self, client, sandbox, record_id):
        assert client.fetch_record("users", record_id, ObjectQuery(SWEEPING)) is None
        assert sandbox.requests()[-1].path == f"/unified/lms/users/{record_id}"

    def test_without_an_id_is_not_requested(self, client):
        with pytest.raises(QueryError, match=r"^A record without an id can't be requested"):
            client.fetch_record("users", "", ObjectQuery(SWEEPING))

    @pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b'{"id":"\xff"}'])
    def test_that_is_no_object_is_an_error(self, body):
        with (
            ScriptedClient(ScriptedResponse(body), retry_policy=ONCE) as client,
            pytest.raises(TransientError, match=r"^The response is "),
        ):
            client.fetch_record("users", "u1", ObjectQuery("acme"))

    def test_is_kept_to_the_byte(self):
        body = b'{"n":1.50e0,  "name":"\\u00e9" }'
        with ScriptedClient(ScriptedResponse(b" " + body + b"\n")) as client:
            record = client.fetch_record("users", "u1", ObjectQuery("acme"))
        assert record is not None
        assert bytes(record.record) == body


class TestRawPages:
    def test_in_an_envelope_are_followed_to_the_end(self, client):
        pages = list(client.fetch_pages("users", ListQuery(SWEEPING, limit=5, response_format="raw")))
        assert [len(page.records) for page in pages] == [5, 5, 2]
        assert all(page.has_envelope for page in pages)

    def test_without_an_envelope_are_one_page_that_says_so(self, sandbox, client):
        sandbox.switch(Switches(raw_body="bare"))
        [page] = client.fetch_pages("users", ListQuery(SWEEPING, limit=5, response_format="raw"))
        sandbox.switch(Switches())
        assert (len(page.records), page.has_envelope, page.next_cursor) == (5, False, None)

    def test_of_a_pair_are_the_object_of_the_provider(self, client):
        query = ListQuery(PAIRED, response_format="raw", user=UserFilter("u1"), course=CourseFilter("c1"))
        [page] = client.fetch_pages("course-enrollments", query)
        assert [bytes(record) for record in page.records] == [b'{"role": "learner"}']
        assert not page.has_envelope

    @pytest.mark.parametrize(
        ("body", "records", "has_envelope"),
        [
            (b'{"result":[1,2],"next_cursor":null}', ["1", "2"], True),
            (b'{"results":[1]}', ["1"], True),
            (b'{"result":null,"results":[1]}', ["1"], True),
            (b'{"result":{"a":1, "b":2},"result_count":1}', ['{"a":1, "b":2}'], True),  # its keys are the provider's
            (b'{"result":[1],"debug":{}}', ["1"], True),
            (b"[]", [], False),
            (b"[[1],2]", ["[1]", "2"], False),
            (b'{"result":"passed","score":7}', ['{"result":"passed","score":7}'], False),
            (b'{"result":[1],"page":7}', ['{"result":[1],"page":7}'], False),
            (b"{}", ["{}"], False),
            (b'{"next_cursor":null}', ['{"next_cursor":null}'], False),
        ],
    )
    def test_are_distinguished_from_an_object_of_the_provider_by_their_keys(self, body, records, has_envelope):
        with ScriptedClient(ScriptedResponse(body)) as client:
            [page] = client.fetch_pages("users", RAW)
        assert [bytes(record).decode() for record in page.records] == records
        assert page.has_envelope is has_envelope

    @pytest.mark.parametrize(
        ("body", "records"),
        [
            (b' {"role": "learner"}\n', ['{"role": "learner"}']),
            (b'[{"role": "learner"}]', ['{"role": "learner"}']),
            (b'{"result":[{"n":1}],"next_cursor":null}', ['{"n":1}']),
            (b'{"result":{"n": 1},"next_cursor":null}', ['{"n": 1}']),
            (b" null\n", []),
        ],
    )
    def test_of_a_pair_have_any_of_these_shapes(self, body, records):
        query = ListQuery("acme", response_format="raw", user=UserFilter("u1"), course=CourseFilter("c1"))
        with ScriptedClient(ScriptedResponse(body)) as client:
            page = client.fetch_pair(query)
        assert page is not None
        assert [bytes(record).decode() for record in page.records] == records

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"7", UnreadableFormatError),
            (b'"<enrolments/>"', UnreadableFormatError),
            (b'<?xml version="1.0"?><enrolments/>', UnreadableFormatError),
            (b"\xef\xbb\xbf<enrolments/>", UnreadableFormatError),
            (b"id;user;role\n1;u1;learner\n", UnreadableFormatError),
            ("id;name\n1;J\u00f6rg\n".encode("latin-1"), UnreadableFormatError),
            (b"no format", UnreadableFormatError),
            (b"null", TransientError),
            (b"<html>", TransientError),
            (b"<!DOCTYPE html><p>Bad gateway</p>", TransientError),
            (b"\n<html>", TransientError),
            (b'{"result":7}', TransientError),
            (b'{"result": [{"id"', TransientError),
            (b"", TransientError),
            (b"\x1f\x8b\x08\x00", TransientError),
            (b"x\x9c\x03\x00\x00\x00\x00\x01", TransientError),
        ],
    )
    def test_without_records_are_an_error(self, body, kind):
        with (
            ScriptedClient(ScriptedResponse(body), retry_policy=ONCE) as client,
            pytest.raises(kind, match=r"^The response is "),
        ):
            list(client.fetch_pages("users", RAW))

    def test_whose_last_body_is_html_have_no_other_format(self):
        """The LMS may have raw records: a text came while its service started."""
        responses = ScriptedResponse(b"service starting"), ScriptedResponse(b"<html>")
        with (
            ScriptedClient(*responses, retry_policy=RetryPolicy(max_attempts=2)) as client,
            pytest.raises(TransientError) as failed,
        ):
            list(client.fetch_pages("users", RAW))
        assert not isinstance(failed.value, UnreadableFormatError)


class TestBodyOfAnotherFormat:
    def test_is_kept_as_it_came(self):
        body = b' {"whatever": [1,  2]}\n'
        with ScriptedClient(ScriptedResponse(body)) as client:
            assert client.fetch(NORMALIZED, read_bytes).value == body
        assert ("truto_response_format", "normalized") in client.received[0].query

    def test_is_requested_again_like_a_page(self):
        with ScriptedClient(refusal(502), ScriptedResponse(b"{}")) as client:
            assert client.fetch(NORMALIZED, read_bytes).value == b"{}"


@pytest.mark.parametrize("response_format", ["normalized", "stream"])
def test_a_format_without_pages_is_not_read_as_pages(client, response_format):
    with pytest.raises(QueryError, match=f"^The format {response_format} has no pages: use `fetch`"):
        list(client.fetch_pages("users", ListQuery("acme", response_format=response_format)))
    with pytest.raises(QueryError, match=f"^The format {response_format} is no record: use `fetch`"):
        client.fetch_record("users", "u1", ObjectQuery("acme", response_format=response_format))
    pair = ListQuery("acme", response_format=response_format, user=UserFilter("u1"), course=CourseFilter("c1"))
    with pytest.raises(QueryError, match=f"^The format {response_format} has no records: use `fetch`"):
        client.fetch_pair(pair)
