"""A server that says what a test tells it to, byte for byte, also what no server should say."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.retry import Cooldowns

TOKEN = "token-of-the-tests"


@dataclass(frozen=True)
class Asked:
    """A request as it came over the wire."""

    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True)


@dataclass(frozen=True)
class Answer:
    """What the server says; `ends` is how the connection ends after it."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """The Content-Length that is told; the right one where None."""
    ends: str = "closed"
    """`closed`, `reset`, or `stalls`: nothing more comes, and the connection stays."""

    @cached_property
    def on_the_wire(self) -> bytes:
        told = {"Content-Length": str(len(self.body) if self.length is None else self.length)}
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in (told | self.headers).items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + self.body


def page(*records: Any, cursor: str | None = None, **more: Any) -> Answer:
    return Answer(json.dumps({"result": list(records), "next_cursor": cursor, **more}).encode())


def refusal(status: int, message: Any = "no", headers: dict[str, str] | None = None, **more: Any) -> Answer:
    told = {"statusCode": status, "error": HTTPStatus(status).phrase, "message": message, **more}
    return Answer(json.dumps(told).encode(), status, headers or {})


SILENCE = Answer(b"", ends="stalls")


class Scripted:
    """Answers one request per connection, in one thread; `asked` are the requests so far."""

    def __init__(self, listener: socket.socket, answer: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        self.ended = Event()
        self._listener = listener
        self._answer = answer
        host, port = listener.getsockname()
        self.url = f"http://{host}:{port}"

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed: the end
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(ConnectionError):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        lines = _head(connection).decode("latin-1").split("\r\n")
        if not lines[0]:
            return
        headers = dict(line.split(": ", 1) for line in lines[1:])
        asked = Asked(lines[0].split(" ")[1], {name.lower(): value for name, value in headers.items()})
        self.asked.append(asked)
        answer = self._answer(asked)
        if answer.ends == "stalls":
            self.ended.wait()
            return
        connection.sendall(answer.on_the_wire)
        if answer.ends == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            return b""
        head += piece
    return head.removesuffix(b"\r\n\r\n")


@contextmanager
def answering(answer: Callable[[Asked], Answer]) -> Iterator[Scripted]:
    """Serve from a thread until the block ends; `answer` sees each request."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Scripted(listener, answer)
    thread = Thread(target=server.serve, name="scripted")
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        thread.join()


@contextmanager
def saying(*answers: Answer) -> Iterator[Scripted]:
    """Serve these answers, one after the other, whatever is asked; what comes after them is the test's mistake."""
    left = list(answers)

    def next_answer(_asked: Asked) -> Answer:
        return left.pop(0) if left else refusal(418, "the script has ended")

    with answering(next_answer) as server:
        yield server


class FakeTime:
    """A time that goes on only while somebody waits; `waits` is how long they did."""

    def __init__(self, waits: list[float] | None = None) -> None:
        self.waits: list[float] = [] if waits is None else waits
        self._now = 0.0

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._now += seconds

    def cooldowns(self) -> Cooldowns:
        return Cooldowns(clock=lambda: self._now, sleep=self.sleep)


@contextmanager
def asking(
    url: str, waits: list[float] | None = None, *, token: str = TOKEN, **more: Any
) -> Iterator[TrutoClient]:
    """A client that never sleeps: its waits go to `waits`."""
    with TrutoClient(url, token, cooldowns=FakeTime(waits).cooldowns(), **more) as client:
        yield client
