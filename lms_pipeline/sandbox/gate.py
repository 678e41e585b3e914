"""What every request to the API passes before and after its handler.

What belongs here: counting, the token, and turning a refusal into an answer, in this order. It is the place for
whatever else concerns a request whatever its route.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from lms_pipeline.sandbox.refusals import Refusal, no_such_route, unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lms_pipeline.sandbox.stats import Stats

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Gate:
    """Makes routes of handlers: functions from a request to the JSON of its answer."""

    def __init__(self, token: str, stats: Stats) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._stats = stats

    def route(self, path: str, handler: Callable[[Request], bytes]) -> Route:
        """A route that answers GET with what the handler gives."""

        async def endpoint(request: Request) -> Response:
            return self._answer(request, path, handler)

        return Route(path, endpoint, methods=["GET"])

    def anything_else(self) -> Route:
        """The last route: it refuses whatever the others don't take."""

        def refuse(request: Request) -> bytes:
            raise no_such_route(request.method, request.url.path)

        async def endpoint(request: Request) -> Response:
            return self._answer(request, request.url.path, refuse)

        return Route("/{path:path}", endpoint, methods=_METHODS)

    def _answer(self, request: Request, path: str, handler: Callable[[Request], bytes]) -> Response:
        self._stats.count(_account_id(request), f"{request.method} {path}")
        try:
            self._check_token(request)
            return Response(handler(request), media_type="application/json")
        except Refusal as refusal:
            return Response(refusal.body, refusal.status, media_type="application/json")

    def _check_token(self, request: Request) -> None:
        shown = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(shown, self._authorization):
            raise unauthorized()


def _account_id(request: Request) -> str | None:
    if request.url.path.startswith("/integrated-account/"):
        return str(request.path_params.get("id")) or None
    return request.query_params.get("integrated_account_id") or None
