"""The routes below `/_sandbox`, by which a test or a person drives the sandbox.

What belongs here: what the real API doesn't have. These routes need no token and are not counted.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.faults.script import AnyFault
from lms_pipeline.sandbox.http import Refusal, bad_request
from lms_pipeline.sandbox.wire.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from lms_pipeline.sandbox.state import Controls


class _ClockBody(msgspec.Struct, forbid_unknown_fields=True):
    now: datetime | None


class ControlApi:
    """The clock, the switches, the faults and the counts."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def routes(self) -> list[Route]:
        """The routes, relative to `/_sandbox`."""
        return [
            _route("/clock", "GET", self._told_clock),
            _route("/clock", "PUT", self._set_clock),
            _route("/switches", "GET", self._told_switches),
            _route("/switches", "PUT", self._set_switches),
            _route("/faults", "GET", self._told_faults),
            _route("/faults", "POST", self._add_faults),
            _route("/faults", "PUT", self._replace_faults),
            _route("/faults", "DELETE", self._clear_faults),
            _route("/requests", "GET", self._told_requests),
            _route("/stats", "GET", self._told_stats),
            _route("/stats", "DELETE", self._clear_counts),
        ]

    async def _told_clock(self, _request: Request) -> object:
        return {"now": self._controls.clock.now(), "fixed": self._controls.clock.is_fixed}

    async def _set_clock(self, request: Request) -> object:
        body: _ClockBody = await _read(request, _ClockBody, '{"now": "<ISO 8601>"} or {"now": null}')
        self._controls.clock.set(body.now)
        return await self._told_clock(request)

    async def _told_switches(self, _request: Request) -> object:
        return self._controls.switches

    async def _set_switches(self, request: Request) -> object:
        self._controls.switches = await _read(request, Switches, "an object of switches")
        return self._controls.switches

    async def _told_faults(self, _request: Request) -> object:
        return {"faults": self._controls.script.told()}

    async def _add_faults(self, request: Request) -> object:
        self._controls.add_faults(await _read_faults(request))
        return await self._told_faults(request)

    async def _replace_faults(self, request: Request) -> object:
        faults = await _read_faults(request)
        self._controls.check_faults(faults)
        self._controls.clear_faults()
        self._controls.add_faults(faults)
        return await self._told_faults(request)

    async def _clear_faults(self, request: Request) -> object:
        self._controls.clear_faults()
        return await self._told_faults(request)

    async def _told_requests(self, request: Request) -> object:
        last = request.query_params.get("last", "1000")
        if not (last.isascii() and last.isdigit()):
            raise bad_request("last must be a number")
        return {"requests": self._controls.journal.last(int(last))}

    async def _told_stats(self, _request: Request) -> object:
        return self._controls.stats_told()

    async def _clear_counts(self, request: Request) -> object:
        self._controls.clear_counts()
        return await self._told_stats(request)


def _route(path: str, method: str, handler: Callable[[Request], Awaitable[object]]) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            body, status = msgspec.json.encode(await handler(request)), 200
        except SandboxError as error:
            body, status = bad_request(str(error)).answer.whole(), 400
        except Refusal as refusal:
            body, status = refusal.answer.whole(), refusal.answer.status
        return Response(body, status, media_type="application/json")

    return Route(path, endpoint, methods=[method])


async def _read_faults(request: Request) -> list[AnyFault]:
    """One fault, or a list of them."""
    told: Any = await _read(
        request, AnyFault | list[AnyFault], 'a fault as {"fault": "status", "status": 503}'
    )
    return told if isinstance(told, list) else [told]


async def _read(request: Request, of: Any, wanted: str) -> Any:  # noqa: ANN401 - a union of structs, too
    try:
        return msgspec.json.decode(await request.body(), type=of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"The body must be {wanted}: {error}") from None
