"""An S3 endpoint of this machine: moto, behind a front that makes one write at a time, as real stores do, and fails on demand.

Belongs here: the endpoint and its faults. moto alone checks a condition, then writes: of eight writers at once two win. The front
calls moto in this process: a connection between them would cost more than half of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal
from urllib.parse import unquote

import httpx
import uvicorn

from lms_pipeline_tests.distributed.services import find_free_port

ACCESS_KEY, SECRET_KEY = "AKIAOFTHETESTS", "s3cr3t-of-the-tests"
WRITES = {"PUT", "POST", "DELETE"}
CONDITIONS = {b"if-match", b"if-none-match"}
HOP_HEADERS = {b"connection", b"transfer-encoding", b"content-length", b"content-encoding"}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

MAX_HELD_SECONDS = 120
MOTO = "http://127.0.0.1"
"""The address by which moto is called. Nothing listens there."""

_numbers = count()


@dataclass
class Fault:
    """What happens to the next requests that match.

    `status` answers with a status and a code. `cut` closes the connection without a byte of an answer, and `hang` lets the
    client wait until it gives up; with `is_done` the request was carried out before. `half` cuts the answer in the middle.
    `hold` keeps the request, or its answer with `is_done`, until `released` is set.
    """

    action: Literal["status", "cut", "hang", "half", "hold"]
    method: str = ""
    """Empty for any."""
    match: str = ""
    """A part of the path with its query, decoded."""
    times: int = 1
    after: int = 0
    """How many matching requests pass first."""
    is_done: bool = False
    status: int = 503
    code: str = "SlowDown"
    arrived: threading.Event = field(default_factory=threading.Event)
    """Is set when the fault strikes; with `is_done`, once the request is carried out."""
    released: threading.Event = field(default_factory=threading.Event)

    def matches(self, method: str, target: str) -> bool:
        return self.method in {"", method} and self.match in target


@dataclass
class S3Front:
    """The endpoint. Tests change its fields between requests."""

    url: str
    moto: httpx.BaseTransport | None = None
    """moto in this process; None if another endpoint is behind the front."""
    counts: Counter[str] = field(default_factory=Counter)
    """Requests by method."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    faults: list[Fault] = field(default_factory=list)
    ignores_conditions: bool = False
    hides_e_tags: bool = False

    def reset(self) -> None:
        """Forget requests and faults."""
        self.counts.clear()
        self.requests.clear()
        self.faults.clear()
        self.ignores_conditions = self.hides_e_tags = False

    def create_bucket(self) -> str:
        """Create an empty bucket; return its name."""
        name = f"lms-{next(_numbers)}"
        with self._call_moto() as client:
            client.put(f"/{name}").raise_for_status()
        return name

    def fill(self, bucket: str, keys: Iterable[str]) -> None:
        """Create empty objects in a bucket."""
        with self._call_moto() as client:
            for key in keys:
                client.put(f"/{bucket}/{key}").raise_for_status()

    def _call_moto(self) -> httpx.Client:
        return httpx.Client(base_url=MOTO, transport=self.moto)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which AWS's tools find this endpoint."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }


class _Application:
    """The front as an ASGI application."""

    def __init__(self, front: S3Front, upstream: str) -> None:
        self._front = front
        self._upstream = upstream
        self._writing = asyncio.Lock()
        # a connection that is kept open would be open at the end of the loop too
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        transport = None if front.moto is None else _InLoop(front.moto)
        self._client = httpx.AsyncClient(timeout=60, limits=limits, transport=transport)

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        method, target = scope["method"], scope["raw_path"].decode() + "?" + scope["query_string"].decode()
        self._front.counts[method] += 1
        self._front.requests.append((method, scope["path"]))
        fault = self._choose_fault(method, unquote(target))
        answer = await self._forward(scope, target, body) if fault is None or fault.is_done else None
        if fault is not None:
            fault.arrived.set()
            if fault.action in {"status", "cut", "hang"}:
                await self._fail(fault, receive, send)
                return
        if fault is not None and fault.action == "hold":
            await asyncio.to_thread(fault.released.wait, MAX_HELD_SECONDS)
        answer = answer or await self._forward(scope, target, body)
        content = b"" if method == "HEAD" else answer.content
        headers = [
            (name, value)
            for name, value in _select_headers(answer)
            if name.lower() != b"etag" or not self._front.hides_e_tags
        ]
        if fault is not None and fault.action == "half":
            await _answer(send, answer.status_code, headers, content[: len(content) // 2], more_body=True)
            _close(send)
        else:
            await _answer(send, answer.status_code, headers, content)

    def _choose_fault(self, method: str, target: str) -> Fault | None:
        for fault in self._front.faults:
            if fault.times > 0 and fault.matches(method, target):
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    async def _forward(self, scope: Message, target: str, body: bytes) -> httpx.Response:
        left_out = HOP_HEADERS | (CONDITIONS if self._front.ignores_conditions else set())
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in left_out]
        async with self._writing if scope["method"] in WRITES else contextlib.nullcontext():
            return await self._client.request(
                scope["method"], self._upstream + target.rstrip("?"), headers=headers, content=body
            )

    async def _fail(self, fault: Fault, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if fault.action == "status":
            body = f"<Error><Code>{fault.code}</Code><Message>{ACCESS_KEY} may not</Message></Error>".encode()
            headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
            await _answer(send, fault.status, headers, body)
            return
        if fault.action == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        _close(send)


class _Moto(httpx.WSGITransport):
    """Calls moto's application for S3 with each request."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raw = request.url.raw_path.decode()  # from which moto reads keys
        environment = {"RAW_URI": raw, "PATH_INFO": unquote(raw.partition("?")[0], "latin-1")}  # as of WSGI
        app = self.app
        answer = httpx.WSGITransport(lambda wsgi, start: app(wsgi | environment, start)).handle_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers.raw, content=answer.read())


@dataclass
class _InLoop(httpx.AsyncBaseTransport):
    """Calls a transport that never waits."""

    transport: httpx.BaseTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.transport.handle_request(request)


async def _answer(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, more_body: bool = False
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


def _select_headers(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer; the length of an object is also that of its answer to HEAD."""
    skipped = HOP_HEADERS - {b"content-length"}
    return [(name, value) for name, value in answer.headers.raw if name.lower() not in skipped]


def _close(send: Send) -> None:
    """Close the connection at once: uvicorn would answer with status 500 to an error."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]


@contextmanager
def serve_s3() -> Iterator[S3Front]:
    """Run the endpoint until the block ends."""
    from moto.server import create_backend_app

    with serve_front(MOTO, _Moto(create_backend_app("s3"))) as front:
        yield front


@contextmanager
def serve_front(upstream: str, moto: httpx.BaseTransport | None = None) -> Iterator[S3Front]:
    """Run a front of moto or of another endpoint until the block ends."""
    port = find_free_port()
    front = S3Front(f"http://127.0.0.1:{port}", moto)
    config = uvicorn.Config(
        _Application(front, upstream),
        host="127.0.0.1",
        port=port,
        log_level="critical",
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the front did not start"
            threading.Event().wait(0.01)
        yield front
    finally:
        server.should_exit = True  # it closes the connections that are kept open
        thread.join()
