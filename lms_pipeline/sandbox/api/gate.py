"""What every request to the API passes before and after its handler.

What belongs here: counting, the token, the limits, the faults, and turning a refusal into an answer, in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lms_pipeline.sandbox.http import Refusal, no_such_route, only_reading, unauthorized
from lms_pipeline.sandbox.wire.asked import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from lms_pipeline.sandbox.state import Controls
    from lms_pipeline.sandbox.wire.answers import Answer
    from lms_pipeline.sandbox.wire.limits import TierName


class Gate:
    """Makes routes of handlers: functions from what is asked to the answer."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def route(self, path: str, handler: Callable[[Asked], Answer], name: str | None = None) -> Route:
        """A route that answers GET with what the handler gives, and refuses to write.

        It goes by `name` in counts and faults, where that is not its path.
        """
        known = name or path.replace(":path}", "}")
        self._controls.routes.add(known)

        def answer(asked: Asked) -> Answer:
            if asked.method not in {"GET", "HEAD"}:
                raise only_reading()
            return handler(asked)

        return Route(path, _Endpoint(self._controls, known, answer))

    def anything_else(self) -> Route:
        """The last route: it refuses whatever the others don't take."""

        def refuse(asked: Asked) -> Answer:
            raise no_such_route(asked.method, asked.path)

        return Route("/{path:path}", _Endpoint(self._controls, None, refuse))


class _Endpoint:
    """One route as an ASGI application, which takes every method."""

    def __init__(self, controls: Controls, name: str | None, handler: Callable[[Asked], Answer]) -> None:
        self._controls = controls
        self._name = name
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(scope, self._name)
        self._controls.stats.count(asked.account_id, f"{asked.method} {asked.route}")
        answer = self._answer(asked)
        for fault in asked.faults:
            answer = fault.spoil(answer)
        self._controls.journal.note(asked, answer.status)
        app = _response(answer)
        for fault in asked.faults:
            app = fault.send(answer, app)
        await app(scope, receive, send)

    def _answer(self, asked: Asked) -> Answer:
        controls = self._controls
        try:
            if not controls.connections.accepts(asked.authorization):
                raise unauthorized()
            headers = controls.limits.check(controls.switches, asked.account_id, _reach(asked))
            asked.faults = controls.script.due(asked)
            for fault in asked.faults:
                fault.refuse(asked, controls.connections)
            answer = self._handler(asked)
            return answer._replace(headers={**answer.headers, **headers})
        except Refusal as refusal:
            return refusal.answer


def _reach(asked: Asked) -> TierName:
    """The last tier that such a request counts in: only one for records asks the provider."""
    if asked.account_id is None or not asked.path.startswith("/unified/"):
        return "token"
    return "account" if "/meta/" in asked.route else "provider"


def _response(answer: Answer) -> ASGIApp:
    headers = dict(answer.headers)
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers, answer.media_type)
    return StreamingResponse(answer.body, answer.status, headers, answer.media_type)
