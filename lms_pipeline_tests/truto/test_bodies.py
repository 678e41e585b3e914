"""Bodies that are not what they should be: cut, compressed, garbled, slow, too large, or missing."""

import gzip
import json
import socket
import threading

import pytest

from lms_pipeline.truto import transport
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, UserFilter
from lms_pipeline.truto.request import build_list_request
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_api import TOKEN, FakeTime, ScriptedClient, ScriptedResponse, page
from lms_pipeline_tests.support.scripted_server import SILENCE, serve
from lms_pipeline_tests.truto.test_store import Store

ALL = ListQuery("acme")
ONCE = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
GOOD = b'{"result":[{"id":"a"}],"next_cursor":null}'
LABEL = "GET /unified/lms/users of account acme"


def records_of(response: ScriptedResponse) -> list[str]:
    with ScriptedClient(response, retry_policy=ONCE) as client:
        return [bytes(record).decode() for page in client.fetch_pages("users", ALL) for record in page.records]


def failure_of(response: ScriptedResponse) -> TrutoError:
    with pytest.raises(TrutoError) as caught:
        records_of(response)
    return caught.value


def failure_over_a_socket(response: ScriptedResponse) -> TrutoError:
    with (
        serve(lambda _request: response) as server,
        TrutoClient(server.url, TOKEN, retry_policy=ONCE, timeout=0.05) as client,
        pytest.raises(TrutoError) as caught,
    ):
        list(client.fetch_pages("users", ALL))
    return caught.value


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (ScriptedResponse(b"<html>Sign in</html>"), "The response is not JSON, or was cut short"),
        (ScriptedResponse(b""), "The response is not JSON, or was cut short"),
        (ScriptedResponse(GOOD[:-8]), "The response is not JSON, or was cut short"),
        (ScriptedResponse(GOOD + GOOD), "The response is not JSON, or was cut short"),
        (ScriptedResponse(b'{"result":["\xff"]}'), "The response is not UTF-8"),
        (ScriptedResponse(b"[1]"), "The response is JSON, but not what was requested"),
        (ScriptedResponse(b'{"result":5}'), "The response is JSON, but not what was requested"),
        (ScriptedResponse(b'{"result":[],"next_cursor":{}}'), "The response is JSON, but not what was requested"),
        (ScriptedResponse(b"{}"), "The response has no list under 'result'"),
        (ScriptedResponse(b'{"result":null}'), "The response has no list under 'result'"),
        (ScriptedResponse(GOOD, headers={"Content-Encoding": "gzip"}), "The response can't be unpacked"),
        (
            ScriptedResponse(gzip.compress(GOOD)[:-20], headers={"Content-Encoding": "gzip"}),
            "The response can't be unpacked",
        ),
        (ScriptedResponse(b'{"result":[' + b"[" * 100_000), "The response is nested too deeply"),
        (
            ScriptedResponse(b'{"result":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"),
            "The response is nested too deeply",
        ),
    ],
)
def test_an_unusable_body_is_one_sentence_and_transient(response, says):
    error = failure_of(response)
    assert type(error) is TransientError
    assert str(error) == f"{says} ({LABEL}): try again later."


NOTHING = ScriptedResponse(b"", 204)


class TestNoContent:
    @pytest.mark.parametrize("response_format", ["unified", "raw"])
    def test_is_an_empty_list(self, response_format):
        store = Store()
        with ScriptedClient(NOTHING, store=store) as client:
            query = ListQuery("acme", response_format=response_format)
            pages = [*client.fetch_pages("users", query), *client.fetch_pages("users", query)]
        assert [(len(page.records), page.next_cursor) for page in pages] == [(0, None)] * 2
        assert len(client.received) == 1

    def test_is_the_end_of_a_list_that_had_pages(self):
        with ScriptedClient(page("a", cursor="1"), NOTHING) as client:
            assert [len(page.records) for page in client.fetch_pages("users", ALL)] == [1, 0]

    def test_is_a_list_without_accounts(self):
        with ScriptedClient(NOTHING) as client:
            assert list(client.fetch_accounts()) == []

    def test_is_a_pair_without_an_enrollment(self):
        with ScriptedClient(NOTHING) as client:
            pair = client.fetch_pair(ListQuery("acme", user=UserFilter("u1"), course=CourseFilter("c1")))
        assert pair is not None
        assert pair.records == []

    def test_is_a_record_that_is_gone(self):
        with ScriptedClient(NOTHING, store=Store()) as client:
            assert [client.fetch_record("users", "u1", ObjectQuery("acme")) for _ in range(2)] == [None, None]
        assert len(client.received) == 1

    def test_is_no_answer_about_capabilities(self):
        with ScriptedClient(NOTHING) as client, pytest.raises(PermanentError) as caught:
            client.fetch_capabilities("acme")
        assert str(caught.value) == (
            "The response has no content (GET /integrated-account/{id}/capabilities of account acme, status 204): "
            "look at the account in Truto."
        )

    def test_is_an_empty_body_of_a_format_that_is_not_read(self):
        request = build_list_request("users", ListQuery("acme", response_format="stream"))
        with ScriptedClient(NOTHING) as client:
            assert client.fetch(request, lambda body, _received_at: body).value == b""


@pytest.mark.parametrize("ends", ["closed", "reset"])
def test_a_connection_that_is_cut_is_one_sentence_and_transient(ends):
    error = failure_over_a_socket(ScriptedResponse(GOOD, length=len(GOOD) + 5, ends=ends))
    assert type(error) is TransientError
    assert str(error) == f"The connection was cut ({LABEL}): try again later."


def test_a_small_body_that_decodes_to_a_huge_one_is_stopped(monkeypatch):
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**20)
    bomb = gzip.compress(b" " * 8 * 2**20)
    assert len(bomb) < 10_000
    error = failure_of(ScriptedResponse(bomb, headers={"Content-Encoding": "gzip"}))
    assert type(error) is PermanentError
    assert "larger than 1 MB" in str(error)
    assert "lower the page size" in str(error)


def test_a_body_that_drips_for_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(transport, "MAX_REQUEST_SECONDS", 0.0)
    assert "The response took over 0 s" in str(failure_of(ScriptedResponse(GOOD)))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r'"cut \ud83d"', "cut \ufffd"),
        (r'"\udc4d cut"', "\ufffd cut"),
        (r'"\ud83d\ud83d\udc4d"', "\ufffd\U0001f44d"),
        (r'"\uD83D\uDC4D"', "\U0001f44d"),
        (r'"a\\ud83d \ud83d"', "a\\ud83d \ufffd"),
        (r'"a\\\ud83d"', "a\\\ufffd"),
    ],
)
def test_half_an_emoji_is_replaced_and_its_record_kept(sent, read):
    body = f'{{"result":[{{"name":{sent}}},{{"id":"b"}}]}}'.encode()
    first, second = records_of(ScriptedResponse(body))
    assert json.loads(first) == {"name": read}
    assert second == '{"id":"b"}'


def test_escaped_text_stays_as_it_is_sent():
    body = rb'{"result":[{"name":"a\\ud83d \u00e9 \uD83D\uDC4D"}]}'
    assert records_of(ScriptedResponse(body)) == [r'{"name":"a\\ud83d \u00e9 \uD83D\uDC4D"}']


def test_a_response_that_does_not_come_in_time_is_transient():
    error = failure_over_a_socket(SILENCE)
    assert type(error) is TransientError
    assert str(error).startswith(f"No response in time ({LABEL})")


def test_a_closed_port_is_named_as_no_connection_after_all_attempts():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
    time = FakeTime()
    with TrutoClient(f"http://{host}:{port}", TOKEN, cooldowns=time.cooldowns()) as client:
        with pytest.raises(TransientError, match=r"^No connection \(GET .*\): check the network and TRUTO_"):
            list(client.fetch_pages("users", ALL))
        assert client.requests == 6
    assert len(time.waits) == 5


def test_a_request_whose_connection_is_cut_is_sent_again():
    responses = iter([ScriptedResponse(GOOD[:5], length=100, ends="reset"), page("a")])
    time = FakeTime()
    with (
        serve(lambda _request: next(responses)) as server,
        TrutoClient(server.url, TOKEN, cooldowns=time.cooldowns()) as client,
    ):
        assert len(list(client.fetch_pages("users", ALL))) == 1
        assert client.requests == 2
    assert len(time.waits) == 1


def test_the_scripted_server_leaves_no_thread_behind():
    before = set(threading.enumerate())
    failure_over_a_socket(SILENCE)
    assert set(threading.enumerate()) == before
