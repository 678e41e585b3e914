"""A Truto that only hands out pages rendered before: `python -m benchmarks.world.server FOLDER`.

Belongs here: HTTP/1.1 with persistent connections on the loopback interface, from a process of its own. It prints its port,
and serves until it is ended. It uses a tenth of a CPU second for 100,000 enrollments: it is never the bottleneck.

The account `acc-N` or `acc-N-anything` has N enrollments; `acc-pairs` has no list of enrollments, only single pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

from benchmarks.world.pages import World, index_pairs

TOKEN = "benchmark-token"  # noqa: S105 (of this server)
PAIRS_ACCOUNT = "acc-pairs"
MAX_PAIRS = 12_000
MAX_JOINED_BYTES = 65_536
"""Larger parts are written as they are: joining copies them."""
NOT_FOUND = b'{"statusCode":404,"error":"Not Found","message":"Not Found"}'
UNAUTHORIZED = b'{"statusCode":401,"error":"Unauthorized","message":"Invalid API token"}'
NO_PAIR = (
    b'{"statusCode":400,"error":"Bad Request","message":"Missing required query parameters","truto_error_insight":'
    b'{"missing_required_query_parameters":{"description":"required","value":["user[id]","course[id]"]}}}'
)
LISTS = "/unified/lms/"

Response = tuple[int, Sequence[bytes | memoryview]]


class Server:
    """Responds to requests, and counts them."""

    def __init__(self, folder: Path, latency_seconds: float) -> None:
        self._world = World(folder)
        self._pairs: dict[tuple[str, str], bytes] = {}
        self.latency_seconds = latency_seconds
        self.requests = self.connections = 0

    def respond(self, target: str) -> Response:
        """Return the status and the parts of the body."""
        path, _, text = target.partition("?")
        if path == "/benchmark/counts":
            counts = {"requests": self.requests, "connections": self.connections}
            return 200, [json.dumps(counts).encode()]
        self.requests += 1
        query = dict(parse_qsl(text, keep_blank_values=True))
        account = query.get("integrated_account_id", "")
        if not path.startswith(LISTS) or not account.startswith("acc-"):
            return 404, [NOT_FOUND]
        name = path.removeprefix(LISTS)
        if account == PAIRS_ACCOUNT and name == "course-enrollments":
            return self._respond_to_pair(query)
        if name == "course-enrollments":
            is_without_raw = query.get("truto_ignore_remote_data") == "true"
            name = "enrollments" if is_without_raw else "enrollments_with_raw"
        elif name not in {"users", "courses"}:
            return 404, [NOT_FOUND]
        rows = MAX_PAIRS if account == PAIRS_ACCOUNT else int(account.split("-")[1])
        number = int(bytes.fromhex(query.get("next_cursor") or "30"))
        return 200, self._world.build_body(name, number, self._world.count_pages(name, rows))

    def _respond_to_pair(self, query: dict[str, str]) -> Response:
        if "user[id]" not in query:
            return 400, [NO_PAIR]
        if not self._pairs:
            self._pairs = index_pairs(self._world, MAX_PAIRS)
        record = self._pairs.get((query["user[id]"], query.get("course[id]", "")))
        if record is None:
            return 200, [b'{"result":[],"next_cursor":null,"result_count":0}']
        return 200, [b'{"result":[', record, b'],"next_cursor":null,"result_count":1}']


class Connection(asyncio.Protocol):
    """One connection; responses are sent in the order of the requests."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 (of a TCP server)
        self._transport = transport
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request; none has a body."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            if TOKEN.encode() in head:
                status, body = self._server.respond(head.split(b" ", 2)[1].decode())
            else:
                status, body = 401, [UNAUTHORIZED]
            length = sum(map(len, body))
            start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            parts = [f"{start}Content-Length: {length}\r\n\r\n".encode(), *body]
            if self._server.latency_seconds:
                asyncio.get_running_loop().call_later(self._server.latency_seconds, self._send, parts)
            else:
                self._send(parts)

    def _send(self, parts: Sequence[bytes | memoryview]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if sum(map(len, parts)) > MAX_JOINED_BYTES:
            for part in parts:
                self._transport.write(part)
        else:
            self._transport.write(b"".join(parts))


@contextmanager
def serve_world(folder: Path, latency_ms: float = 0) -> Iterator[str]:
    """Run a server in its own process during the block, and yield its address."""
    command = [sys.executable, "-m", __name__, str(folder), "--latency-ms", str(latency_ms)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:  # noqa: S603
        try:
            assert process.stdout is not None  # noqa: S101 (a pipe)
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()  # it may have inherited that SIGTERM is ignored


async def _serve(server: Server) -> None:
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=256)
    print(listener.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (for `serve_world`)
    await listener.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency-ms", type=float, default=0)
    arguments = parser.parse_args()
    asyncio.run(_serve(Server(arguments.folder, arguments.latency_ms / 1000)))


if __name__ == "__main__":
    main()
