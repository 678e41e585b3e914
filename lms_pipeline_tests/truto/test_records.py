"""Single records, raw pages and whole bodies, over a real socket."""

import json

import pytest

from lms_pipeline.sandbox import Switches, running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.encoding import QueryError
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, UserFilter
from lms_pipeline.truto.waits import Patience
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.truto.scripted import Answer, asking, refusal, saying

RAW = ListQuery("acme", response_format="raw")
HOSTILE = ["a/b", "../x", ".", "..", "a b", "a+b", "100%", "%2F", "é", "学习", "a#b", "a?b=c", '"', "😀"]


@pytest.fixture(scope="module")
def sandbox():
    with running(SmallWorld()) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


class TestSingleRecord:
    def test_comes_without_an_envelope_and_with_what_its_provider_tells_more(self, client):
        record = client.one("courses", "c1", ObjectQuery(PAIRED)).record
        assert json.loads(bytes(record))["remote_data"]["users"][:2] == ["u0", "u1"]

    def test_takes_the_same_parameters_as_a_list(self, client):
        query = ObjectQuery(PAIRED, response_format="raw")
        assert json.loads(bytes(client.one("users", "u1", query).record)) == {"courses": ["c1"]}
        query = ObjectQuery(PAIRED, ignore_remote_data=True)
        assert json.loads(bytes(client.one("users", "u1", query).record)) == {"id": "u1"}

    def test_that_is_not_there_is_a_refusal_of_the_provider(self, client):
        with pytest.raises(PermanentError, match="does not exist") as caught:
            client.one("users", "nobody", ObjectQuery(PAIRED))
        assert (caught.value.status, caught.value.remote) == (404, True)
        assert "nobody" not in str(caught.value)

    @pytest.mark.parametrize("record_id", HOSTILE)
    def test_is_asked_for_by_any_id(self, client, sandbox, record_id):
        with pytest.raises(PermanentError):
            client.one("users", record_id, ObjectQuery(SWEEPING))
        assert sandbox.requests()[-1].path == f"/unified/lms/users/{record_id}"

    def test_without_an_id_is_not_asked_for(self, client):
        with pytest.raises(QueryError, match=r"^A record without an id can't be asked for"):
            client.one("users", "", ObjectQuery(SWEEPING))

    @pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b'{"id":"\xff"}'])
    def test_that_is_no_object_is_no_record(self, body):
        with (
            saying(Answer(body)) as server,
            asking(server.url, patience=Patience(attempts=1)) as client,
            pytest.raises(TransientError, match=r"^The answer is "),
        ):
            client.one("users", "u1", ObjectQuery("acme"))

    def test_comes_to_the_byte(self):
        body = b'{"n":1.50e0,  "name":"\\u00e9" }'
        with saying(Answer(b" " + body + b"\n")) as server, asking(server.url) as client:
            assert bytes(client.one("users", "u1", ObjectQuery("acme")).record) == body


class TestRawPages:
    def test_in_an_envelope_go_on_to_the_end(self, client):
        pages = list(client.pages("users", ListQuery(SWEEPING, limit=5, response_format="raw")))
        assert [len(page.records) for page in pages] == [5, 5, 2]
        assert all(page.has_envelope for page in pages)

    def test_without_an_envelope_are_one_and_say_so(self, sandbox, client):
        sandbox.switch(Switches(raw_body="bare"))
        [page] = client.pages("users", ListQuery(SWEEPING, limit=5, response_format="raw"))
        sandbox.switch(Switches())
        assert (len(page.records), page.has_envelope, page.next_cursor) == (5, False, None)

    def test_of_a_pair_are_the_providers_object(self, client):
        query = ListQuery(PAIRED, response_format="raw", user=UserFilter("u1"), course=CourseFilter("c1"))
        [page] = client.pages("course-enrollments", query)
        assert [bytes(record) for record in page.records] == [b'{"role": "learner"}']
        assert not page.has_envelope

    @pytest.mark.parametrize(
        ("body", "records", "has_envelope"),
        [
            (b'{"result":[1,2],"next_cursor":null}', ["1", "2"], True),
            (b'{"results":[1]}', ["1"], True),
            (b'{"result":null,"results":[1]}', ["1"], True),
            (b'{"result":{"a":1,"b":2},"result_count":2}', ["1", "2"], True),
            (b'{"result":[1],"debug":{}}', ["1"], True),
            (b"[]", [], False),
            (b"[[1],2]", ["[1]", "2"], False),
            (b'{"result":"passed","score":7}', ['{"result":"passed","score":7}'], False),
            (b'{"result":[1],"page":7}', ['{"result":[1],"page":7}'], False),
            (b"{}", ["{}"], False),
            (b'{"next_cursor":null}', ['{"next_cursor":null}'], False),
        ],
    )
    def test_are_told_from_a_providers_own_object_by_their_keys(self, body, records, has_envelope):
        with saying(Answer(body)) as server, asking(server.url) as client:
            [page] = client.pages("users", RAW)
        assert [bytes(record).decode() for record in page.records] == records
        assert page.has_envelope is has_envelope

    @pytest.mark.parametrize("body", [b"7", b'"x"', b"null", b"<html>", b'{"result":7}'])
    def test_that_are_no_records_can_not_be_used(self, body):
        with (
            saying(Answer(body)) as server,
            asking(server.url, patience=Patience(attempts=1)) as client,
            pytest.raises(TransientError, match=r"^The answer is "),
        ):
            list(client.pages("users", RAW))


class TestBody:
    def test_is_kept_as_it_came(self):
        body = b' {"whatever": [1,  2]}\n'
        with saying(Answer(body)) as server, asking(server.url) as client:
            assert client.body("users", ListQuery("acme", response_format="normalized")) == body
        assert ("truto_response_format", "normalized") in server.asked[0].query

    def test_is_asked_for_again_like_a_page(self):
        with saying(refusal(502), Answer(b"{}")) as server, asking(server.url) as client:
            assert client.body("users", ListQuery("acme", response_format="normalized")) == b"{}"


@pytest.mark.parametrize("told", ["normalized", "stream"])
def test_formats_without_pages_are_not_read_in_pages(client, told):
    with pytest.raises(QueryError, match=f"^The format {told} has no pages: take"):
        list(client.pages("users", ListQuery("acme", response_format=told)))
    with pytest.raises(QueryError, match=f"^The format {told} is no record: take"):
        client.one("users", "u1", ObjectQuery("acme", response_format=told))
