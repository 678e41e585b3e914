"""Requests to a store that answers slowly, or not to the end."""

import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from obstore.store import MemoryStore

from lms_pipeline.storage import bucket
from lms_pipeline.storage.bucket import Bucket
from lms_pipeline.storage.store import StoredFile, StoreError

pytestmark = pytest.mark.distributed

KEY = "lake/data.parquet"
LIMIT_SECONDS = 1.0
PIECES = 15
PIECE_SECONDS = 0.1
"""All pieces take longer than the limit; the pause between two is far below it."""
URL = "s3://bucket/installation"


@contextmanager
def serve(handle):
    """Serve GET and PUT with a function, which gets the request and the event of the end."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            handle(self, ended)

        do_PUT = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_):
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            ended.set()
            server.shutdown()
            thread.join()


def begin(request, size):
    request.send_response(206 if "Range" in request.headers else 200)
    for name, value in (
        ("Content-Range", f"bytes 0-{size - 1}/{size}"),
        ("Content-Length", size),
        ("ETag", '"1"'),
        ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ):
        request.send_header(name, str(value))
    request.end_headers()


def send_slowly(request, ended):
    begin(request, PIECES)
    for _ in range(PIECES):
        request.wfile.write(b"x")
        request.wfile.flush()
        ended.wait(PIECE_SECONDS)


def stop_in_the_middle(request, ended):
    begin(request, PIECES)
    request.wfile.write(b"x")
    request.wfile.flush()
    ended.wait(30)


def never_answer(request, ended):
    ended.wait(30)


def receive_slowly(request, ended):
    size = int(request.headers["Content-Length"])
    for _ in range(PIECES):
        request.rfile.read(size // PIECES)
        ended.wait(PIECE_SECONDS)
    request.rfile.read(size % PIECES)
    begin(request, 0)


@pytest.fixture
def open_bucket(monkeypatch):
    monkeypatch.setattr(bucket, "TIMEOUT_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(bucket, "RETRIES", {"max_retries": 0, "retry_timeout": timedelta(seconds=1)})

    def opened(endpoint):
        for name, value in (("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
            monkeypatch.setenv(f"AWS_{name}", value)
        return Bucket.open(URL)

    return opened


def test_a_download_may_last_longer_than_the_limit_between_two_of_its_bytes(open_bucket):
    with serve(send_slowly) as endpoint:
        assert b"".join(open_bucket(endpoint).get(KEY).chunks) == b"x" * PIECES


def test_a_part_may_last_longer_than_the_limit_between_two_of_its_bytes(open_bucket):
    with serve(send_slowly) as endpoint:
        assert open_bucket(endpoint).read_range(StoredFile(KEY, PIECES, 0, 0, '"1"'), 0, PIECES) == b"x" * PIECES


@pytest.mark.parametrize("handle", [stop_in_the_middle, never_answer])
def test_a_download_that_stalls_is_one_sentence(handle, open_bucket):
    with serve(handle) as endpoint, pytest.raises(StoreError) as error:
        list(open_bucket(endpoint).get(KEY).chunks)
    assert str(error.value) == (
        f"{URL}/{KEY} can't be read: the store can't be reached, or fails (it did not answer in time); try again later."
    )


def test_an_upload_may_last_longer_than_a_request_without_content(open_bucket, monkeypatch):
    monkeypatch.setattr(bucket, "MIN_BYTES_PER_SECOND", 2**20)
    with serve(receive_slowly) as endpoint:
        assert open_bucket(endpoint).put(KEY, b"x" * 8 * 2**20, None) == '"1"'


def test_an_upload_has_the_time_of_half_a_megabyte_a_second(monkeypatch):
    monkeypatch.setattr(bucket, "TIMEOUT_SECONDS", LIMIT_SECONDS)
    limits: list[bucket.Limits] = []

    def connect(one):
        limits.append(one)
        return MemoryStore()

    Bucket("memory://bucket", connect).put(KEY, b"x" * 3 * 2**20, None)
    assert limits[-1] == (8.0, 8.0)
