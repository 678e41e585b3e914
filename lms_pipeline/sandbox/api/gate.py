"""The way of each request: token, rate limits, faults, handler, log.

Belongs here: what happens before and after a handler, and in which order. Not here: what a route returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response as StarletteResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route

from lms_pipeline.sandbox.faults.fault import Exchange
from lms_pipeline.sandbox.http import Refusal, Request, Response, method_not_allowed, unauthorized, unknown_route
from lms_pipeline.sandbox.pagination import PageRequest, read_cursor

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lms_pipeline.sandbox.faults.fault import Fault
    from lms_pipeline.sandbox.state import RunningSandbox, TierName

Handler = Callable[[Request], Response | PageRequest]


class Gate:
    """Builds routes from handlers."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox

    def build_route(self, path: str, handler: Handler, name: str | None = None) -> Route:
        """Return a route for GET, which refuses other methods.

        Counts and faults refer to it by `name`, by default its path.
        """
        name = name or path.replace(":path}", "}")
        self._sandbox.routes.add(name)

        def respond(request: Request) -> Response | PageRequest:
            if request.method not in {"GET", "HEAD"}:
                raise method_not_allowed()
            return handler(request)

        return Route(path, _Endpoint(self._sandbox, name, respond))

    def build_catch_all(self) -> Route:
        """Return the last route, which refuses all other paths."""

        def respond(request: Request) -> Response:
            raise unknown_route(request)

        return Route("/{path:path}", _Endpoint(self._sandbox, None, respond))


@dataclass(frozen=True)
class _Endpoint:
    """One route as an ASGI application for all methods."""

    sandbox: RunningSandbox
    route: str | None
    handler: Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, self.route)
        response, faults = self._respond(request)
        for fault in faults:
            response = fault.change_response(response)
        self.sandbox.log.add(request, response.status, [fault.kind for fault in faults])
        app = _build_app(response)
        for fault in faults:
            app = _wrap(fault, response, app)
        await app(scope, receive, send)

    def _respond(self, request: Request) -> tuple[Response, list[Fault]]:
        sandbox = self.sandbox
        faults: list[Fault] = []
        try:
            if not sandbox.connections.is_authorized(request.headers.get("authorization", "")):
                raise unauthorized()
            headers = sandbox.limits.check(sandbox.switches, request.account_id, _find_last_tier(request))
            faults = sandbox.script.strike(request)
            for fault in faults:
                fault.refuse(request, sandbox.connections)
            result = self.handler(request)
            response = _read_page(result, faults) if isinstance(result, PageRequest) else result
        except Refusal as refusal:
            return refusal.response, faults
        return response._replace(headers={**response.headers, **headers}), faults


def _read_page(page_request: PageRequest, faults: list[Fault]) -> Response:
    place = start = read_cursor(page_request.list_key, page_request.cursor)
    for fault in faults:
        start = fault.move_start(start)
    page = page_request.read_page(place, start)
    for fault in faults:
        page = fault.change_page(page)
    return page_request.respond(page)


def _find_last_tier(request: Request) -> TierName:
    """Return the last tier in which a request counts: only those for records reach the provider."""
    if request.account_id is None or not request.path.startswith("/unified/"):
        return "token"
    return "account" if "/meta/" in request.route else "provider"


def _wrap(fault: Fault, response: Response, app: ASGIApp) -> ASGIApp:
    async def send_with_fault(scope: Scope, receive: Receive, send: Send) -> None:
        await fault.send(Exchange(response, app, scope, receive, send))

    return send_with_fault


def _build_app(response: Response) -> ASGIApp:
    headers = dict(response.headers)
    if isinstance(response.body, bytes):
        return StarletteResponse(response.body, response.status, headers, response.media_type)
    return StreamingResponse(response.body, response.status, headers, response.media_type)
