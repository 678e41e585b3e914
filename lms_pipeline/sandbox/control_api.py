"""The routes below `/_sandbox`, by which a test or a person drives the sandbox.

What belongs here: what the real API doesn't have. These routes need no token and are not counted.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from lms_pipeline.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from starlette.requests import Request

    from lms_pipeline.sandbox.clock import Clock
    from lms_pipeline.sandbox.stats import Stats


class _ClockBody(msgspec.Struct):
    now: datetime | None


class ControlApi:
    """The clock and the counts."""

    def __init__(self, clock: Clock, stats: Stats) -> None:
        self._clock = clock
        self._stats = stats

    def routes(self) -> list[Route]:
        """The routes, relative to `/_sandbox`."""
        return [
            Route("/stats", self._told_stats, methods=["GET"]),
            Route("/clock", self._told_clock, methods=["GET"]),
            Route("/clock", self._set_clock, methods=["PUT"]),
        ]

    async def _told_stats(self, _request: Request) -> Response:
        return _json(self._stats.told())

    async def _told_clock(self, _request: Request) -> Response:
        return _json({"now": self._clock.now(), "fixed": self._clock.is_fixed})

    async def _set_clock(self, request: Request) -> Response:
        try:
            body = msgspec.json.decode(await request.body(), type=_ClockBody)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            refusal = bad_request(f'The body must be {{"now": "<ISO 8601>"}} or {{"now": null}}: {error}')
            return Response(refusal.body, refusal.status, media_type="application/json")
        self._clock.set(body.now)
        return await self._told_clock(request)


def _json(told: object) -> Response:
    return Response(msgspec.json.encode(told), media_type="application/json")
