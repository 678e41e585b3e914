"""Responses without an end, on a socket: each request ends in time and within its bytes."""

import struct
import threading
import time
import zlib

import httpcore
import pytest

from lms_pipeline.truto import transport
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError
from lms_pipeline.truto.network import LimitedBackend, RequestLimits, RequestTooLongError, TooManyBytesError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.endless_server import Endless, serve_endlessly
from lms_pipeline_tests.support.scripted_api import TOKEN, page
from lms_pipeline_tests.support.scripted_server import serve

LABEL = "GET /unified/lms/users of account acme"
IN_TIME = f"The response took over 0 s ({LABEL}): try again later."
IN_BYTES = f"The response has too many headers, interim responses or chunks ({LABEL}): try again later."
TOO_LARGE = f"The response is larger than 0 MB ({LABEL}): lower the page size."
SECONDS = 0.25

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"
CHUNKED = JSON + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = JSON + b"Content-Encoding: gzip\r\n\r\n"
DEFLATE = JSON + b"Content-Encoding: deflate\r\n\r\n"
EMPTY_BLOCK = b"\0\0\0\xff\xff"
"""A stored block without data that is not the last one (RFC 1951, 3.2.4)."""


def build_gzip_head(flags: int) -> bytes:
    """Return the head of a member with the given flags (RFC 1952, 2.3)."""
    return b"\x1f\x8b\x08" + bytes([flags]) + b"\0" * 4 + b"\0\x03"


EMPTY_MEMBER = build_gzip_head(0) + b"\x03\0" + struct.pack("<II", zlib.crc32(b""), 0)
EXTRA_FIELD, FILE_NAME, COMMENT = 4, 8, 16

SLOW = {
    "nothing at all": Endless(b""),
    "the status line": Endless(b"HTTP/1.1 200 ", b"O"),
    "the name of a header": Endless(OK + b"X-", b"A"),
    "the value of a header": Endless(OK + b"X-A: ", b"a"),
    "blanks after a header": Endless(OK + b"X-A:", b" "),
    "one header after another": Endless(OK, b"X-A: a\r\n"),
    "100 Continue": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 Processing": Endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 Early Hints": Endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "a body to the end of the connection": Endless(JSON + b"\r\n", b" "),
    "a body with a length": Endless(JSON + b"Content-Length: 1000000\r\n\r\n", b" "),
    "the size of a chunk": Endless(CHUNKED, b"0"),
    "the extension of a chunk": Endless(CHUNKED + b"1;", b"a"),
    "small chunks": Endless(CHUNKED, b"1\r\n \r\n"),
    "a chunk": Endless(CHUNKED + b"fffff\r\n", b" "),
    "the trailers": Endless(CHUNKED + b"1\r\n \r\n0\r\n", b"X-A: a\r\n"),
    "a trailer": Endless(CHUNKED + b"1\r\n \r\n0\r\nX-A: ", b"a"),
    "a gzip header": Endless(GZIP + b"\x1f\x8b\x08"),
    "a gzip file name": Endless(GZIP + build_gzip_head(FILE_NAME), b"a"),
    "a gzip comment": Endless(GZIP + build_gzip_head(COMMENT), b"a"),
    "a gzip extra field": Endless(GZIP + build_gzip_head(EXTRA_FIELD) + b"\xff\xff", b"a"),
    "empty gzip blocks": Endless(GZIP + build_gzip_head(0), EMPTY_BLOCK),
    "empty gzip members": Endless(GZIP, EMPTY_MEMBER),
    "zeros after a gzip member": Endless(GZIP + EMPTY_MEMBER, b"\0"),
    "empty deflate blocks": Endless(DEFLATE + b"\x78\x9c", EMPTY_BLOCK),
    "garbage after deflate": Endless(DEFLATE + zlib.compress(b""), b"a"),
}
FAST = {
    "100 Continue": (Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500, pause=0), IN_BYTES),
    "103 Early Hints": (Endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 500, pause=0), IN_BYTES),
    "small chunks": (Endless(CHUNKED, b"1\r\n \r\n" * 2_000, pause=0), IN_BYTES),
    "extensions of chunks": (Endless(CHUNKED, (b"1;" + b"a" * 1_000 + b"\r\n \r\n") * 10, pause=0), IN_BYTES),
    "empty gzip blocks": (Endless(GZIP + build_gzip_head(0), EMPTY_BLOCK * 2_000, pause=0), TOO_LARGE),
    "a gzip file name": (Endless(GZIP + build_gzip_head(FILE_NAME), b"a" * 10_000, pause=0), TOO_LARGE),
    "empty gzip members": (Endless(GZIP, EMPTY_MEMBER * 500, pause=0), TOO_LARGE),
}


def fail(url: str, timeout: float = 60) -> TrutoError:
    once = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
    with TrutoClient(url, TOKEN, retry_policy=once, timeout=timeout) as client, pytest.raises(TrutoError) as caught:
        list(client.fetch_pages("users", ListQuery("acme")))
    return caught.value


@pytest.fixture
def is_short(monkeypatch):
    monkeypatch.setattr(transport, "MAX_REQUEST_SECONDS", SECONDS)


@pytest.fixture
def is_small(monkeypatch):
    monkeypatch.setattr(transport, "MAX_HEAD_BYTES", 150_000)  # two reads of httpcore and more
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 100_000)
    monkeypatch.setattr(transport, "MAX_RECEIVED_BYTES", 300_000)


@pytest.mark.usefixtures("is_short")
@pytest.mark.parametrize("response", SLOW.values(), ids=SLOW)
def test_a_request_ends_in_time_whatever_drips(response):
    started = time.monotonic()
    with serve_endlessly(response) as port:
        error = fail(f"http://127.0.0.1:{port}")
    assert (type(error), str(error)) == (TransientError, IN_TIME)
    assert SECONDS <= time.monotonic() - started < SECONDS + 5


@pytest.mark.usefixtures("is_small")
@pytest.mark.parametrize(("response", "says"), FAST.values(), ids=FAST)
def test_a_request_ends_within_its_bytes_whatever_streams(response, says):
    with serve_endlessly(response) as port:
        assert str(fail(f"http://127.0.0.1:{port}")) == says


def test_headers_without_end_are_a_broken_connection():
    with serve_endlessly(Endless(OK, b"X-A: a\r\n" * 1_000, pause=0)) as port:
        error = fail(f"http://127.0.0.1:{port}")
    assert (type(error), str(error)) == (TransientError, f"The connection was cut ({LABEL}): try again later.")


@pytest.mark.usefixtures("is_short")
@pytest.mark.parametrize(
    "response", [Endless(b""), Endless(b"\x16\x03\x03\x40\x00", b"\x02")], ids=["no answer", "a record that drips"]
)
def test_a_handshake_of_tls_ends_in_time(response):
    with serve_endlessly(response) as port:
        assert str(fail(f"https://127.0.0.1:{port}")) == IN_TIME


@pytest.mark.usefixtures("is_short")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "response",
    [
        Endless(b""),
        Endless(b"HTTP/1.1 200 ", b"O"),
        Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        Endless(OK + b"\r\n"),
    ],
    ids=["no answer", "a status line that drips", "interim responses", "an accepted connection, then nothing"],
)
def test_a_proxy_of_the_environment_is_used_and_limited(scheme, response, monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serve_endlessly(response) as port:
        for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert str(fail(f"{scheme}://lms.example.org")) == IN_TIME


@pytest.mark.usefixtures("is_short")
@pytest.mark.parametrize(("status", "kind"), [(401, PermanentError), (403, PermanentError), (503, TransientError)])
def test_an_error_whose_body_has_no_end_keeps_its_status(status, kind):
    with serve_endlessly(Endless(b"HTTP/1.1 %d No\r\n\r\n" % status, b" ")) as port:
        error = fail(f"http://127.0.0.1:{port}")
    assert (type(error), error.status) == (kind, status)


@pytest.mark.usefixtures("is_small")
def test_an_error_whose_body_is_too_large_keeps_its_status():
    with serve_endlessly(Endless(b"HTTP/1.1 503 No\r\n\r\n", b" " * 10_000, pause=0)) as port:
        error = fail(f"http://127.0.0.1:{port}")
    assert (type(error), error.status) == (TransientError, 503)


def test_a_redirect_is_not_followed():
    with serve_endlessly(
        Endless(b"HTTP/1.1 302 Found\r\nLocation: /unified/lms/users\r\nContent-Length: 0\r\n\r\n")
    ) as port:
        error = fail(f"http://127.0.0.1:{port}")
    assert (type(error), error.status) == (PermanentError, 302)


def test_a_silence_that_is_shorter_than_the_request_may_take_is_no_response_in_time():
    with serve_endlessly(Endless(b"")) as port:
        assert str(fail(f"http://127.0.0.1:{port}", timeout=0.05)).startswith("No response in time (")


def test_each_request_has_limits_of_its_own(monkeypatch):
    body = page("a", *("x" * 1_000 for _ in range(20)), cursor=None)
    monkeypatch.setattr(transport, "MAX_RECEIVED_BYTES", 25_000)
    with serve(lambda _request: body) as server, TrutoClient(server.url, TOKEN) as client:
        for _ in range(5):
            assert len(list(client.fetch_pages("users", ListQuery("acme")))) == 1


class RecordingBackend(httpcore.NetworkBackend):
    """A network that never connects; `timeouts` are those it was given."""

    def __init__(self) -> None:
        self.timeouts: list[float | None] = []

    def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.timeouts.append(timeout)
        raise httpcore.ConnectTimeout


@pytest.mark.parametrize(
    ("max_seconds", "timeout", "expected"),
    [(1_000, 10, 10), (3, 10, 3), (3, None, 3)],
    ids=["timeout", "limit", "none"],
)
def test_a_connection_has_the_shorter_of_timeout_and_time_left(max_seconds, timeout, expected, monkeypatch):
    network = RecordingBackend()
    monkeypatch.setattr(httpcore, "SyncBackend", lambda: network)
    backend = LimitedBackend()
    with backend.apply(RequestLimits(max_seconds, 1)), pytest.raises(httpcore.ConnectTimeout):
        backend.connect_tcp("127.0.0.1", 1, timeout)
    assert network.timeouts == [pytest.approx(expected, abs=1)]


def test_no_connection_is_begun_without_time(monkeypatch):
    network = RecordingBackend()
    monkeypatch.setattr(httpcore, "SyncBackend", lambda: network)
    backend = LimitedBackend()
    with backend.apply(RequestLimits(0, 1)), pytest.raises(RequestTooLongError):
        backend.connect_tcp("127.0.0.1", 1, 10)
    assert network.timeouts == []


def test_limits_are_those_of_the_thread():
    backend = LimitedBackend()
    with backend.apply(RequestLimits(10, 1)):
        thread = threading.Thread(target=backend.count_bytes, args=(100,))
        thread.start()
        thread.join()
        backend.count_bytes(1)
        with pytest.raises(TooManyBytesError):
            backend.count_bytes(1)
    backend.count_bytes(100)
