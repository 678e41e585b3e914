"""The response store under the client: what is stored is never requested again, and stored before it counts."""

import gzip
import zlib
from datetime import UTC, datetime

import pytest

from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.models import read_required_parameters
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, UserFilter
from lms_pipeline.truto.request import build_metadata_request
from lms_pipeline.truto.store import NotKeptError, StoredResponse
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, page, refusal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = ListQuery("acme", limit=2)
PAIR = ListQuery("acme", user=UserFilter("u/1"), course=CourseFilter("c1"))
RECORD = ObjectQuery("acme")
METADATA = build_metadata_request("acme", "course-enrollments")
NOT_ENROLLED = refusal(400, "The user is not enrolled in this course", truto_is_remote_error=True)


class Store(dict[str, StoredResponse]):
    """A store in memory."""

    def put(self, key: str, response: StoredResponse) -> None:
        self[key] = response


@pytest.fixture
def store():
    return Store()


def fetch_everything(client: TrutoClient) -> list[object]:
    pages = list(client.fetch_pages("users", ALL))
    record = client.fetch_record("courses", "c 1", RECORD)
    pair = client.fetch_pair(PAIR)
    assert record is not None
    assert pair is not None
    return [
        [bytes(one) for page in pages for one in page.records],
        [one.received_at for one in pages],
        bytes(record.record),
        [bytes(one) for one in pair.records],
        client.fetch(METADATA, read_required_parameters).value,
    ]


RESPONSES = [
    page("a", cursor="n=1"),
    page("b"),
    ScriptedResponse(b'{"id":"c 1"}'),
    page("p"),
    ScriptedResponse(b'{"query_schema":{"properties":{"user":{"required":true}}}}'),
]


def test_the_second_client_finds_everything_and_sends_no_request(store):
    first = fetch_everything(ScriptedClient(*RESPONSES, store=store, now=lambda: NOON))
    second = ScriptedClient(store=store)
    assert fetch_everything(second) == first
    assert second.received == []


def test_a_replay_finds_everything(store):
    first = fetch_everything(ScriptedClient(*RESPONSES, store=store, now=lambda: NOON))
    with TrutoClient.for_replay(store) as client:
        assert fetch_everything(client) == first
        assert client.is_replay


def test_the_keys_are_those_of_checkpoints_on_disk(store):
    """Written out by hand: a pull that was interrupted under an earlier version continues with its checkpoint."""
    client = ScriptedClient(*RESPONSES, page("c"), store=store)
    fetch_everything(client)
    list(client.fetch_pages("users", ALL, 2))
    assert list(store) == [
        "list users 1 /unified/lms/users?integrated_account_id=acme&limit=2",
        "list users 1 /unified/lms/users?integrated_account_id=acme&limit=2&next_cursor=n%3D1",
        "one /unified/lms/courses/c%201?integrated_account_id=acme",
        "pair /unified/lms/course-enrollments?integrated_account_id=acme&user%5Bid%5D=u%2F1&course%5Bid%5D=c1",
        "meta /unified/lms/course-enrollments/meta/list?integrated_account_id=acme",
        "list users 2 /unified/lms/users?integrated_account_id=acme&limit=2",
    ]


def test_a_page_is_stored_before_it_is_yielded(store):
    pages = ScriptedClient(page("a", cursor="1"), page("b"), store=store).fetch_pages("users", ALL)
    next(pages)
    assert [one.body for one in store.values()] == [RESPONSES[0].body.replace(b"n=1", b"1")]


def test_a_response_that_can_not_be_read_is_never_stored(store):
    client = ScriptedClient(ScriptedResponse(b"<html>"), refusal(500), page("a"), store=store)
    list(client.fetch_pages("users", ALL))
    assert [one.body for one in store.values()] == [page("a").body]


def test_a_refusal_is_never_stored(store):
    with pytest.raises(PermanentError):
        list(ScriptedClient(refusal(403), store=store).fetch_pages("users", ALL))
    assert store == {}


class TestAbsence:
    MISSING = refusal(404, "gone", truto_is_remote_error=True)

    @pytest.mark.parametrize("absence", [MISSING, NOT_ENROLLED], ids=["gone", "not enrolled"])
    def test_of_a_pair_is_stored_by_its_status_and_not_requested_again(self, store, absence):
        client = ScriptedClient(absence, store=store, now=lambda: NOON)
        assert [client.fetch_pair(PAIR), client.fetch_pair(PAIR)] == [None, None]
        assert list(store.values()) == [StoredResponse(absence.status, NOON, b"")]

    def test_of_a_record_is_stored_by_its_status_and_not_requested_again(self, store):
        client = ScriptedClient(self.MISSING, store=store, now=lambda: NOON)
        assert [client.fetch_record("users", "u1", RECORD), client.fetch_record("users", "u1", RECORD)] == [None, None]
        assert list(store.values()) == [StoredResponse(404, NOON, b"")]

    def test_is_found_by_a_replay(self, store):
        ScriptedClient(NOT_ENROLLED, store=store).fetch_pair(PAIR)
        with TrutoClient.for_replay(store) as client:
            assert client.fetch_pair(PAIR) is None

    @pytest.mark.parametrize(
        "response",
        [refusal(404), refusal(400, "not enrolled in this course"), refusal(400, truto_is_remote_error=True)],
        ids=["of Truto", "of Truto with the provider's words", "of the provider for another reason"],
    )
    def test_is_no_other_refusal(self, store, response):
        with pytest.raises(PermanentError):
            ScriptedClient(response, store=store).fetch_pair(PAIR)
        assert store == {}


def test_a_replay_without_the_response_is_one_sentence_without_ids(store):
    with TrutoClient.for_replay(store) as client, pytest.raises(NotKeptError) as caught:
        client.fetch_pair(PAIR)
    assert str(caught.value) == (
        "The response to a request of that snapshot was not kept (GET /unified/lms/course-enrollments of account acme): "
        "pull the day again."
    )


class TestCompressedBodies:
    BODY = b'{"result":[{"id":"u1"}],"next_cursor":null}'

    def read(self, store: Store, received: bytes, encoding: str = "gzip") -> StoredResponse:
        response = ScriptedResponse(received, headers={"Content-Encoding": encoding})
        with ScriptedClient(response, store=store) as client:
            assert [len(one.records) for one in client.fetch_pages("users", ALL)] == [1]
        [stored] = store.values()
        return stored

    def test_in_gzip_are_stored_as_they_came(self, store):
        received = gzip.compress(self.BODY)
        stored = self.read(store, received)
        assert (stored.body, stored.gzip) == (self.BODY, received)

    @pytest.mark.parametrize(
        "changed",
        [
            BODY[:-1] + b',"debug":{"key":"secret"}}',
            BODY.replace(b'"u1"', b'"u1","login_key":"secret"'),
            b"\xef\xbb\xbf" + BODY,
        ],
        ids=["a key of Truto", "a credential", "a byte order mark"],
    )
    def test_from_which_something_is_removed_are_not(self, store, changed):
        stored = self.read(store, gzip.compress(changed))
        assert stored.gzip is None
        assert b"secret" not in stored.body

    def test_in_another_encoding_are_not(self, store):
        assert self.read(store, zlib.compress(self.BODY), "deflate").gzip is None
