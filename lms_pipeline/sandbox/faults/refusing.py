"""Faults that answer with an error instead.

What belongs here: refusals that can be scripted. Those that follow from the request itself are the wire's own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from lms_pipeline.sandbox.faults.fault import Count, Fault
from lms_pipeline.sandbox.http import CONNECTION_BROKEN, Refusal, by_provider, unauthorized

if TYPE_CHECKING:
    from lms_pipeline.sandbox.connections import Connections
    from lms_pipeline.sandbox.wire.asked import Asked


class Status(Fault, frozen=True):
    """An error answer, from Truto or from the provider."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    message: str | None = None
    """The status's own phrase where it isn't told."""
    remote: bool = False
    """Whether the provider says it."""
    retry_after: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None
    """Seconds, told in `Retry-After`."""
    retry_after_as: Literal["seconds", "date"] = "seconds"
    ratelimit_reset: Count | None = None
    """Seconds, told in `ratelimit-reset`."""

    def __post_init__(self) -> None:
        """Refuse a status that isn't one."""
        HTTPStatus(self.status)

    def refuse(self, asked: Asked, connections: Connections) -> None:  # noqa: ARG002
        """Refuse the request."""
        message = self.message or HTTPStatus(self.status).phrase
        if self.remote:
            raise by_provider(self.status, message, headers=self._headers())
        raise Refusal(self.status, message, headers=self._headers())

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
    """From the first request that it strikes, the token is good for nothing, until the faults are cleared."""

    def refuse(self, asked: Asked, connections: Connections) -> None:  # noqa: ARG002
        """Revoke and refuse."""
        connections.revoke_token()
        raise unauthorized()


class RevokedConnection(Fault, frozen=True):
    """From the first request that it strikes, its account is `needs_reauth`, until the faults are cleared."""

    def concerns(self, asked: Asked) -> bool:
        """Requests that name an account."""
        return asked.account_id is not None and super().concerns(asked)

    def refuse(self, asked: Asked, connections: Connections) -> None:
        """Revoke and refuse."""
        connections.revoke(asked.account_id or "")
        raise by_provider(401, CONNECTION_BROKEN)


class ExpiredCursor(Fault, frozen=True):
    """A cursor isn't taken any more."""

    only_with_cursor: ClassVar[bool] = True
    remote: bool = False
    """Whether the provider says it."""

    def refuse(self, asked: Asked, connections: Connections) -> None:  # noqa: ARG002
        """Refuse the cursor."""
        message = "next_cursor has expired"
        raise by_provider(400, message) if self.remote else Refusal(400, message)
