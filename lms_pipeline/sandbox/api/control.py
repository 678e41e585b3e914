"""The routes below `/_sandbox`, by which a test or a person controls the sandbox.

The real API doesn't have them. They need no token, and are not counted.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from lms_pipeline.sandbox.faults import AnyFault
from lms_pipeline.sandbox.http import Refusal, bad_request
from lms_pipeline.sandbox.state import Switches
from lms_pipeline.sandbox.world import SandboxError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from lms_pipeline.sandbox.state import RunningSandbox


class _ClockBody(msgspec.Struct, forbid_unknown_fields=True):
    now: datetime | None


class ControlApi:
    """Reads and changes the running sandbox."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox

    def build_routes(self) -> list[Route]:
        """Return the routes, relative to `/_sandbox`."""
        return [
            _build_route("/clock", "GET", self._get_clock),
            _build_route("/clock", "PUT", self._set_clock),
            _build_route("/switches", "GET", self._get_switches),
            _build_route("/switches", "PUT", self._set_switches),
            _build_route("/faults", "GET", self._get_faults),
            _build_route("/faults", "POST", self._add_faults),
            _build_route("/faults", "PUT", self._replace_faults),
            _build_route("/faults", "DELETE", self._clear_faults),
            _build_route("/requests", "GET", self._get_requests),
            _build_route("/stats", "GET", self._get_stats),
            _build_route("/stats", "DELETE", self._clear_counts),
        ]

    async def _get_clock(self, _request: Request) -> object:
        return {"now": self._sandbox.clock.now(), "fixed": self._sandbox.clock.is_fixed}

    async def _set_clock(self, request: Request) -> object:
        body: _ClockBody = await _read_body(request, _ClockBody, '{"now": "<ISO 8601>"} or {"now": null}')
        self._sandbox.clock.set(body.now)
        return await self._get_clock(request)

    async def _get_switches(self, _request: Request) -> object:
        return self._sandbox.switches

    async def _set_switches(self, request: Request) -> object:
        self._sandbox.switches = await _read_body(request, Switches, "an object of switches")
        return self._sandbox.switches

    async def _get_faults(self, _request: Request) -> object:
        return {"faults": self._sandbox.faults()}

    async def _add_faults(self, request: Request) -> object:
        self._sandbox.fault(*await _read_faults(request))
        return await self._get_faults(request)

    async def _replace_faults(self, request: Request) -> object:
        self._sandbox.replace_faults(await _read_faults(request))
        return await self._get_faults(request)

    async def _clear_faults(self, request: Request) -> object:
        self._sandbox.clear_faults()
        return await self._get_faults(request)

    async def _get_requests(self, request: Request) -> object:
        last = request.query_params.get("last", "1000")
        if not (last.isascii() and last.isdigit()):
            raise bad_request("last must be a number")
        return {"requests": self._sandbox.requests(int(last))}

    async def _get_stats(self, _request: Request) -> object:
        return self._sandbox.stats()

    async def _clear_counts(self, request: Request) -> object:
        self._sandbox.clear_counts()
        return await self._get_stats(request)


def _build_route(path: str, method: str, handler: Callable[[Request], Awaitable[object]]) -> Route:
    async def respond(request: Request) -> Response:
        try:
            body, status = msgspec.json.encode(await handler(request)), 200
        except SandboxError as error:
            body, status = bad_request(str(error)).response.read_body(), 400
        except Refusal as refusal:
            body, status = refusal.response.read_body(), refusal.response.status
        return Response(body, status, media_type="application/json")

    return Route(path, respond, methods=[method])


async def _read_faults(request: Request) -> list[AnyFault]:
    """Return the fault of the body, or the list of them."""
    faults: Any = await _read_body(request, AnyFault | list[AnyFault], 'a fault as {"fault": "status", "status": 503}')
    return faults if isinstance(faults, list) else [faults]


async def _read_body(request: Request, body_type: Any, expected: str) -> Any:  # noqa: ANN401 - or a union
    try:
        return msgspec.json.decode(await request.body(), type=body_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"The body must be {expected}: {error}") from None
