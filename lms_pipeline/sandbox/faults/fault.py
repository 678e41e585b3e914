"""The base class of faults: which requests one strikes, and the points of a request at which it can act."""

from __future__ import annotations

import re
import socket
import struct
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import msgspec

from lms_pipeline.sandbox.http import Format

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp, Receive, Scope, Send

    from lms_pipeline.sandbox.connections import Connections
    from lms_pipeline.sandbox.http import Request, Response
    from lms_pipeline.sandbox.pagination import Page, Place

LISTS = frozenset(f"/unified/lms/{name}" for name in ("course-enrollments", "users", "courses"))
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


def _build_tag(name: str) -> str:
    """Return the name of a class in scripts: `shifted_page` for `ShiftedPage`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Exchange(NamedTuple):
    """A response and the connection on which to send it."""

    response: Response
    app: ASGIApp
    """Sends the response as usual."""
    scope: Scope
    receive: Receive
    send: Send

    async def send_as_usual(self) -> None:
        """Send the response without a fault, or with those that were scripted earlier."""
        await self.app(self.scope, self.receive, self.send)

    async def start(self, headers: dict[str, str]) -> None:
        """Send the status and the headers."""
        headers = {"content-type": self.response.media_type, **self.response.headers, **headers}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": self.response.status, "headers": encoded})

    async def write(self, body: bytes, *, is_last: bool = False) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def close(self, *, reset: bool) -> None:
        """Close or reset the connection, and wait until uvicorn sees it; otherwise it logs an unfinished response.

        uvicorn hides its socket from the application; `server.py` puts the transport into the state of each request.
        """
        transport: asyncio.Transport = self.scope["state"]["transport"]
        if reset:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault", tag=_build_tag):
    """Selects the requests to strike; a subclass overrides the methods by which it acts."""

    account: str | None = None
    """The id of the account; None for any, and for requests that name none."""
    route: str | None = None
    """A route as `/unified/lms/users/{id}`, or one path below it as `/unified/lms/users/7`; None for any."""
    format: Format | None = None
    """The response format of the requests, as `raw`; None for any."""
    after: Count = 0
    """The number of matching requests that pass before the first one is struck."""
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The number of requests to strike; None for no limit."""
    rate: Share = 1.0
    """The share of requests to strike, drawn at random from the script's seed."""

    only_with_cursor: ClassVar[bool] = False
    """Whether it matches only the second and later pages."""
    only_in_lists: ClassVar[bool] = False
    """Whether it matches only the lists of the unified model."""

    @property
    def kind(self) -> str:
        """Its name in scripts."""
        return str(self.__struct_config__.tag)

    def matches(self, request: Request) -> bool:
        """Return whether the request is one that it can strike."""
        if self.only_in_lists and request.route not in LISTS:
            return False
        if self.only_with_cursor and not request.parameters.get("next_cursor"):
            return False
        if self.format not in {None, request.parameters.get("truto_response_format") or "unified"}:
            return False
        return self.account in {None, request.account_id} and self.route in {None, request.route, request.path}

    def refuse(self, request: Request, connections: Connections) -> None:
        """Act before the handler; may raise a `Refusal`."""

    def move_start(self, place: Place) -> Place:
        """Return where the page starts."""
        return place

    def change_page(self, page: Page) -> Page:
        """Return the page to encode."""
        return page

    def change_response(self, response: Response) -> Response:
        """Return the response to send."""
        return response

    async def send(self, exchange: Exchange) -> None:
        """Send the response."""
        await exchange.send_as_usual()
