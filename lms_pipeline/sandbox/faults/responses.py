"""Faults of a whole response: refusals, corrupt bodies, and broken or slow connections."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import re
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from lms_pipeline.sandbox.faults.fault import Count, Exchange, Fault, Share
from lms_pipeline.sandbox.http import CONNECTION_BROKEN, Refusal, Response, add_debug, remote_error, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.sandbox.connections import Connections
    from lms_pipeline.sandbox.http import Request

_MEGABYTE = 2**20
_FIRST_STRING = re.compile(rb'(:\s*")')
_FAILED_FIELDS = {"statusCode": 500, "error": "Internal Server Error", "message": "The request failed"}
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Please wait.</body></html>\n"


class Status(Fault, frozen=True):
    """An error response, from Truto or from the provider."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    message: str | None = None
    """By default the phrase of the status."""
    remote: bool = False
    """Whether it is the provider's error."""
    retry_after: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None
    """Seconds, sent in `Retry-After`."""
    retry_after_as: Literal["seconds", "date"] = "seconds"
    ratelimit_reset: Count | None = None
    """Seconds, sent in `ratelimit-reset`."""

    def __post_init__(self) -> None:
        """Reject a number that is no HTTP status."""
        HTTPStatus(self.status)

    def refuse(self, request: Request, connections: Connections) -> None:  # noqa: ARG002
        """Refuse the request."""
        error = remote_error if self.remote else Refusal
        raise error(self.status, self.message or HTTPStatus(self.status).phrase, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after is not None and self.retry_after_as == "seconds":
            headers["retry-after"] = str(self.retry_after)
        elif self.retry_after is not None:
            at = datetime.now(UTC) + timedelta(seconds=self.retry_after)
            headers["retry-after"] = format_datetime(at, usegmt=True)
        if self.ratelimit_reset is not None:
            headers["ratelimit-reset"] = str(self.ratelimit_reset)
        return headers


class RevokedToken(Fault, frozen=True):
    """From the first struck request on, the token is invalid, until the faults are cleared."""

    def refuse(self, request: Request, connections: Connections) -> None:  # noqa: ARG002
        """Revoke and refuse."""
        connections.revoke_token()
        raise unauthorized()


class RevokedConnection(Fault, frozen=True):
    """From the first struck request on, its account is `needs_reauth`, until the faults are cleared."""

    def matches(self, request: Request) -> bool:
        """Return whether the request names an account that it can strike."""
        return request.account_id is not None and super().matches(request)

    def refuse(self, request: Request, connections: Connections) -> None:
        """Revoke and refuse."""
        connections.revoke_account(request.account_id or "")
        raise remote_error(401, CONNECTION_BROKEN)


class ExpiredCursor(Fault, frozen=True):
    """A cursor is no longer valid."""

    only_with_cursor: ClassVar[bool] = True
    status: Literal[400, 404, 409, 410, 422] = 400
    remote: bool = False
    """Whether it is the provider's error."""

    def refuse(self, request: Request, connections: Connections) -> None:  # noqa: ARG002
        """Refuse the cursor."""
        error = remote_error if self.remote else Refusal
        raise error(self.status, "next_cursor has expired")


class Html(Fault, frozen=True):
    """An HTML page, as a proxy in between sends it: under status 200, or under one of its own such as 522."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200

    def change_response(self, response: Response) -> Response:  # noqa: ARG002
        """Send the page instead."""
        return Response(_PAGE, self.status, media_type="text/html; charset=utf-8")


class FailedBody(Fault, frozen=True):
    """A response under status 200 whose body says that the request failed."""

    fields: dict[str, Any] = msgspec.field(default_factory=lambda: dict(_FAILED_FIELDS))
    """What the body says."""
    records: Literal["none", "empty", "all"] = "none"
    """Of a list: nothing but `fields`, an empty list as on a last page, or its records and cursor."""

    def change_response(self, response: Response) -> Response:
        """Replace a successful body, or add the fields to it."""
        if response.status != HTTPStatus.OK:
            return response
        members: dict[str, Any] = {}
        if self.records != "none":
            with suppress(msgspec.ValidationError):  # of a raw body that is no object nothing is left
                members = msgspec.json.decode(response.read_body(), type=dict[str, msgspec.Raw])
        for name in members.keys() & {"result", "results"} if self.records == "empty" else ():
            members |= {name: [], "next_cursor": None}
        return response._replace(body=msgspec.json.encode(members | self.fields))


class ByteOrderMark(Fault, frozen=True):
    """A UTF-8 byte order mark before the body."""

    def change_response(self, response: Response) -> Response:
        """Insert the mark."""
        return response._replace(body=codecs.BOM_UTF8 + response.read_body())


class Gzip(Fault, frozen=True):
    """A body in gzip, as a proxy compresses it."""

    encoding: Literal["gzip", "x-gzip"] = "gzip"
    member_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Bytes of the body in one gzip member; None for one member. A proxy that flushes in between writes several."""
    padding: Count = 0
    """Zero bytes after the last member."""

    def change_response(self, response: Response) -> Response:
        """Compress the body."""
        body = response.read_body()
        size = self.member_bytes or max(1, len(body))
        members = [gzip.compress(body[start : start + size], mtime=0) for start in range(0, len(body), size)]
        headers = {**response.headers, "content-encoding": self.encoding}
        return response._replace(body=b"".join(members) + bytes(self.padding), headers=headers)


class BadUtf8(Fault, frozen=True):
    """A byte that is not valid UTF-8, inside the first string of the body."""

    def change_response(self, response: Response) -> Response:
        """Insert the byte."""
        return response._replace(body=_FIRST_STRING.sub(rb"\1" + b"\xff", response.read_body(), count=1))


class Debug(Fault, frozen=True):
    """`debug` and `context` with (fake) credentials in the envelope, in every record, and in errors."""

    def change_response(self, response: Response) -> Response:
        """Add them to a JSON body."""
        if not response.media_type.startswith("application/json"):
            return response
        return response._replace(body=add_debug(response.read_body(), in_records=True))


class Slow(Fault, frozen=True):
    """The response comes late, or slowly."""

    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Before the first byte."""
    bytes_per_second: Annotated[int, msgspec.Meta(ge=1)] | None = None

    async def send(self, exchange: Exchange) -> None:
        """Wait, and send in small chunks."""
        await asyncio.sleep(self.seconds)
        if self.bytes_per_second is None:
            return await exchange.send_as_usual()
        body = exchange.response.read_body()
        await exchange.start({"content-length": str(len(body))})
        step = max(1, self.bytes_per_second // 10)
        for start in range(0, len(body), step):
            await exchange.write(body[start : start + step])
            await asyncio.sleep(step / self.bytes_per_second)
        return await exchange.write(b"", is_last=True)


class Cut(Fault, frozen=True):
    """The body ends early."""

    share: Share = 0.5
    """Of the body, the part that is sent."""
    length: Literal["whole", "cut", "chunked"] = "whole"
    """The announced length: of the whole body, of the part that is sent, or none, in chunks."""

    async def send(self, exchange: Exchange) -> None:
        """Send a part, and close the connection."""
        body = exchange.response.read_body()
        part = body[: int(len(body) * self.share)]
        lengths = {"whole": len(body), "cut": len(part)}
        headers = {} if self.length == "chunked" else {"content-length": str(lengths[self.length])}
        await exchange.start(headers)
        await exchange.write(part, is_last=self.length == "cut")
        if self.length != "cut":
            await exchange.close(reset=False)


class Reset(Fault, frozen=True):
    """The connection is reset: before the first byte, or in the middle of the body."""

    share: Share | None = None
    """Of the body, the part that is sent before; None sends not even the headers."""

    async def send(self, exchange: Exchange) -> None:
        """Send a part, if any, and reset."""
        if self.share is not None:
            body = exchange.response.read_body()
            await exchange.start({"content-length": str(len(body))})
            await exchange.write(body[: int(len(body) * self.share)])
        await exchange.close(reset=True)


class GzipBomb(Fault, frozen=True):
    """A small gzip that unpacks to many megabytes of a JSON string."""

    megabytes: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100

    async def send(self, exchange: Exchange) -> None:
        """Send the gzip."""
        await exchange.start({"content-encoding": "gzip"})
        for chunk in _compress_zeros(self.megabytes):
            await exchange.write(chunk)
            await asyncio.sleep(0)
        await exchange.write(b"", is_last=True)


def _compress_zeros(megabytes: int) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=31)
    yield compressor.compress(b'{"result":["')
    for _ in range(megabytes):
        yield compressor.compress(b"0" * _MEGABYTE)
    yield compressor.compress(b'"],"next_cursor":null}') + compressor.flush()
