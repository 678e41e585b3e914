"""Answers that are not what they should be: cut, packed, garbled, slow, too large, or none at all."""

import gzip
import json
import socket
import threading
import zlib

import pytest

from lms_pipeline.truto import transport as requests_module
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_server import SILENCE, Answer, asking, page, saying

ALL = ListQuery("acme")
ONCE = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
GOOD = b'{"result":[{"id":"a"}],"next_cursor":null}'
REQUEST = r"\(GET /unified/lms/users of account acme\)"


def records_of(answer: Answer, **more) -> list[str]:
    with saying(answer) as server, asking(server.url, retry_policy=ONCE, **more) as client:
        return [bytes(record).decode() for page in client.pages("users", ALL) for record in page.records]


def failure_of(answer: Answer, **more) -> TrutoError:
    with pytest.raises(TrutoError) as caught:
        records_of(answer, **more)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(b"<html>Sign in</html>"), "The answer is not JSON, or was cut short"),
        (Answer(b""), "The answer is not JSON, or was cut short"),
        (Answer(b"", 204), "The answer is not JSON, or was cut short"),
        (Answer(GOOD[:-8]), "The answer is not JSON, or was cut short"),
        (Answer(GOOD + GOOD), "The answer is not JSON, or was cut short"),
        (Answer(GOOD, length=len(GOOD) + 5), "The connection was cut"),
        (Answer(GOOD, length=len(GOOD) + 5, ends="reset"), "The connection was cut"),
        (Answer(b'{"result":["\xff"]}'), "The answer is not UTF-8"),
        (Answer(b"[1]"), "The answer is JSON, but not what was requested"),
        (Answer(b'{"result":5}'), "The answer is JSON, but not what was requested"),
        (
            Answer(b'{"result":[],"next_cursor":{}}'),
            "The answer is JSON, but not what was requested",
        ),
        (Answer(b"{}"), "The answer has no list under 'result'"),
        (Answer(b'{"result":null}'), "The answer has no list under 'result'"),
        (Answer(GOOD, headers={"Content-Encoding": "gzip"}), "The answer can't be unpacked"),
        (
            Answer(gzip.compress(GOOD)[:-20], headers={"Content-Encoding": "gzip"}),
            "The answer is not JSON, or was cut short",
        ),
        (Answer(b'{"result":[' + b"[" * 100_000), "The answer is nested too deeply"),
        (
            Answer(b'{"result":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"),
            "The answer is nested too deeply",
        ),
    ],
)
def test_an_answer_that_can_not_be_used_is_one_sentence_and_may_pass(answer, says):
    error = failure_of(answer)
    assert type(error) is TransientError
    assert str(error) == f"{says} (GET /unified/lms/users of account acme): try again later."


def test_packed_answers_are_unpacked():
    assert records_of(Answer(gzip.compress(GOOD), headers={"Content-Encoding": "gzip"})) == ['{"id":"a"}']
    assert records_of(Answer(zlib.compress(GOOD), headers={"Content-Encoding": "deflate"})) == ['{"id":"a"}']


def test_a_small_answer_that_unpacks_to_a_huge_one_is_stopped(monkeypatch):
    monkeypatch.setattr(requests_module, "MAX_BODY_BYTES", 2**20)
    bomb = gzip.compress(b" " * 8 * 2**20)
    assert len(bomb) < 10_000
    error = failure_of(Answer(bomb, headers={"Content-Encoding": "gzip"}))
    assert type(error) is PermanentError
    assert "larger than 1 MB" in str(error)
    assert "lower the page size" in str(error)


def test_an_answer_packed_more_than_once_is_not_unpacked():
    bomb = gzip.compress(gzip.compress(b" " * 2**20))
    error = failure_of(Answer(bomb, headers={"Content-Encoding": "gzip, gzip"}))
    assert "can't be unpacked" in str(error)


def test_an_answer_that_drips_for_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(requests_module, "MAX_BODY_SECONDS", 0.0)
    assert "The answer took over 0 s" in str(failure_of(Answer(GOOD)))


@pytest.mark.parametrize(
    ("served", "read"),
    [
        (r'"cut \ud83d"', "cut \ufffd"),
        (r'"\udc4d cut"', "\ufffd cut"),
        (r'"\ud83d\ud83d\udc4d"', "\ufffd\U0001f44d"),
        (r'"\uD83D\uDC4D"', "\U0001f44d"),
        (r'"a\\ud83d \ud83d"', "a\\ud83d \ufffd"),
        (r'"a\\\ud83d"', "a\\\ufffd"),
    ],
)
def test_half_an_emoji_is_repaired_and_its_record_not_lost(served, read):
    body = f'{{"result":[{{"name":{served}}},{{"id":"b"}}]}}'.encode()
    first, second = records_of(Answer(body))
    assert json.loads(first) == {"name": read}
    assert second == '{"id":"b"}'


def test_escaped_text_stays_as_it_was_sent():
    body = rb'{"result":[{"name":"a\\ud83d \u00e9 \uD83D\uDC4D"}]}'
    assert records_of(Answer(body)) == [r'{"name":"a\\ud83d \u00e9 \uD83D\uDC4D"}']


def test_an_answer_that_does_not_come_in_time_may_pass():
    error = failure_of(SILENCE, timeout=0.05)
    assert type(error) is TransientError
    assert str(error).startswith("No answer in time (GET /unified/lms/users of account acme)")


def test_where_nobody_listens_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
    waits: list[float] = []
    with asking(f"http://{host}:{port}", waits) as client:
        with pytest.raises(TransientError, match=f"^No connection {REQUEST}: check the network and TRUTO_"):
            list(client.pages("users", ALL))
        assert client.requests == 6
    assert len(waits) == 5


def test_a_connection_that_is_cut_in_an_answer_is_asked_again():
    waits: list[float] = []
    cut = Answer(GOOD[:5], length=100, ends="reset")
    with saying(cut, page("a")) as server, asking(server.url, waits) as client:
        assert len(list(client.pages("users", ALL))) == 1
        assert client.requests == 2
    assert len(waits) == 1


def test_a_scripted_server_leaves_no_thread_behind():
    before = set(threading.enumerate())
    failure_of(SILENCE, timeout=0.05)
    assert set(threading.enumerate()) == before
