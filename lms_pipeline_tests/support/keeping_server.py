"""A server on a socket that keeps its connections open, serves each in a thread, and counts them.

Responses that end their connection belong to `scripted_server.py`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from lms_pipeline_tests.support.scripted_api import ReceivedRequest
from lms_pipeline_tests.support.scripted_server import Respond


class KeepingServer:
    """`connections` are those that it accepted; `respond` is called by the threads of them all."""

    def __init__(self, listener: socket.socket, respond: Respond) -> None:
        self.connections: list[socket.socket] = []
        self.threads: list[Thread] = []
        self._listener = listener
        self._respond = respond
        host, port = listener.getsockname()
        self.url = f"http://{host}:{port}"

    def accept(self) -> None:
        with suppress(OSError):  # the listener is closed: the end
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                self.threads.append(Thread(target=self._serve, args=(connection,), name="keeping-connection"))
                self.threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader, suppress(ConnectionError):
            while request_line := reader.readline():
                while reader.readline() != b"\r\n":
                    pass
                body = self._respond(ReceivedRequest(request_line.split(b" ")[1].decode(), {})).body
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@contextmanager
def serve_and_keep(respond: Respond) -> Iterator[KeepingServer]:
    """Serve until the block ends, by which time the client has closed its connections."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = KeepingServer(listener, respond)
    thread = Thread(target=server.accept, name="keeping-server")
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        thread.join()
        for connection_thread in server.threads:
            connection_thread.join()
