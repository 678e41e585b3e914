"""A server on a socket that sends the responses of a test, also those that break off, reset or stall.

What needs no socket uses `scripted_api.py`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from threading import Event, Thread

from lms_pipeline_tests.support.scripted_api import ReceivedRequest, ScriptedResponse

SILENCE = ScriptedResponse(ends="stalls")
Respond = Callable[[ReceivedRequest], ScriptedResponse]


class ScriptedServer:
    """Serves one request per connection, in one thread; `received` are the requests so far."""

    def __init__(self, listener: socket.socket, respond: Respond) -> None:
        self.received: list[ReceivedRequest] = []
        self.ended = Event()
        self._listener = listener
        self._respond = respond
        host, port = listener.getsockname()
        self.url = f"http://{host}:{port}"

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed: the end
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(ConnectionError):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        first, *lines = _read_head(connection).decode("latin-1").split("\r\n")
        if not first:
            return
        headers = dict(line.split(": ", 1) for line in lines)
        request = ReceivedRequest(first.split(" ")[1], {name.lower(): value for name, value in headers.items()})
        self.received.append(request)
        response = self._respond(request)
        if response.ends == "stalls":
            self.ended.wait()
            return
        connection.sendall(_write_response(response))
        if response.ends == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            return b""
        head += piece
    return head.removesuffix(b"\r\n\r\n")


def _write_response(response: ScriptedResponse) -> bytes:
    length = len(response.body) if response.length is None else response.length
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}", "Connection: close"]
    headers = {"Content-Length": str(length)} | response.headers
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body


@contextmanager
def serve(respond: Respond) -> Iterator[ScriptedServer]:
    """Serve from a thread until the block ends; `respond` sees each request."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = ScriptedServer(listener, respond)
    thread = Thread(target=server.serve, name="scripted-server")
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        thread.join()
