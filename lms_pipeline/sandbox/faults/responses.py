"""Faults of the connection.

What belongs here: how the bytes of an answer go over the socket, or don't. uvicorn hides its socket from the
application: `protocol.py` puts the transport into the state of each request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from lms_pipeline.sandbox.faults.fault import Fault, Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from lms_pipeline.sandbox.wire.answers import Answer

_MEGABYTE = 2**20


class Slow(Fault, frozen=True):
    """The answer comes late, or drips."""

    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Before the first byte."""
    bytes_per_second: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def send(self, answer: Answer, usual: ASGIApp) -> ASGIApp:
        """Wait, and drip."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(self.seconds)
            if self.bytes_per_second is None:
                return await usual(scope, receive, send)
            body = answer.whole()
            await _start(send, answer, {"content-length": str(len(body))})
            step = max(1, self.bytes_per_second // 10)
            for place in range(0, len(body), step):
                await _send(send, body[place : place + step])
                await asyncio.sleep(step / self.bytes_per_second)
            return await _send(send, b"", more=False)

        return app


class Cut(Fault, frozen=True):
    """The body ends early."""

    share: Share = 0.5
    """Of the body, what is sent."""
    length: Literal["whole", "cut", "chunked"] = "whole"
    """What is told of its length: that of the whole body, that of what is sent, or none, in chunks."""

    def send(self, answer: Answer, usual: ASGIApp) -> ASGIApp:  # noqa: ARG002
        """Send a part, and hang up."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body = answer.whole()
            part = body[: int(len(body) * self.share)]
            told = {"whole": len(body), "cut": len(part)}
            headers = {} if self.length == "chunked" else {"content-length": str(told[self.length])}
            await _start(send, answer, headers)
            await _send(send, part, more=self.length != "cut")
            if self.length != "cut":
                await _hang_up(scope, receive, reset=False)

        return app


class Reset(Fault, frozen=True):
    """The connection is reset: before the first byte, or in the middle of the body."""

    share: Share | None = None
    """Of the body, what is sent before; None: not even the headers."""

    def send(self, answer: Answer, usual: ASGIApp) -> ASGIApp:  # noqa: ARG002
        """Send a part, if any, and reset."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if self.share is not None:
                body = answer.whole()
                await _start(send, answer, {"content-length": str(len(body))})
                await _send(send, body[: int(len(body) * self.share)])
            await _hang_up(scope, receive, reset=True)

        return app


class GzipBomb(Fault, frozen=True):
    """A small gzip that unpacks to many megabytes of a JSON string."""

    megabytes: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100

    def send(self, answer: Answer, usual: ASGIApp) -> ASGIApp:  # noqa: ARG002
        """Send the bomb."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
            await _start(send, answer, {"content-encoding": "gzip"})
            for piece in _bomb(self.megabytes):
                await _send(send, piece)
                await asyncio.sleep(0)
            await _send(send, b"", more=False)

        return app


def _bomb(megabytes: int) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    yield packer.compress(b'{"result":["')
    for _ in range(megabytes):
        yield packer.compress(b"0" * _MEGABYTE)
    yield packer.compress(b'"],"next_cursor":null}') + packer.flush()


async def _start(send: Send, answer: Answer, headers: dict[str, str]) -> None:
    told = {"content-type": answer.media_type, **answer.headers, **headers}
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _hang_up(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """End the connection, and wait until uvicorn has seen it: else it logs an answer that wasn't finished."""
    transport: asyncio.Transport = scope["state"]["transport"]
    if reset:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
