"""A server on a socket whose responses have no end: pieces that are sent until the client closes the connection.

Responses that are whole, cut or silent belong to `scripted_server.py`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread


@dataclass(frozen=True)
class Endless:
    """What is sent at once, and what is sent again and again after it, with a pause in seconds between two pieces."""

    start: bytes
    repeated: bytes = b""
    """Empty: nothing more is sent, and the connection stays open."""
    pause: float = 0.01


@contextmanager
def serve_endlessly(response: Endless) -> Iterator[int]:
    """Serve every connection this response until the block ends; yield the port on 127.0.0.1."""
    ended = Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[Thread] = []

    def send(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client has closed the connection
            connection.settimeout(5)
            connection.recv(65536)
            connection.sendall(response.start)
            while not ended.wait(response.pause):
                connection.sendall(response.repeated)

    def accept() -> None:
        with suppress(OSError):  # the listener is closed: the end
            while True:
                connection, _ = listener.accept()
                threads.append(Thread(target=send, args=(connection,), name="endless-connection"))
                threads[-1].start()

    threads.append(Thread(target=accept, name="endless-server"))
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        for thread in threads:
            thread.join()
