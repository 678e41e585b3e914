"""The answers that say no, as the API words them.

What belongs here: one function for each way in which Truto or a provider refuses. When to refuse is decided in
`gate.py`, `query.py` and the handlers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_ENROLLED = "The requested user is not enrolled in this course"
"""TalentLMS's words for a pair that doesn't exist."""


class Refusal(Exception):  # noqa: N818 - it is an answer of the API, not an error of the sandbox
    """Raised anywhere below a route, and answered as an error body."""

    def __init__(self, status: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self._body: dict[str, Any] = {
            "statusCode": status,
            "error": HTTPStatus(status).phrase,
            "message": message,
            **more,
        }

    @property
    def body(self) -> bytes:
        """The JSON of the answer."""
        return msgspec.json.encode(self._body)


def bad_request(message: str) -> Refusal:
    """A request that Truto itself doesn't take."""
    return Refusal(400, message)


def unauthorized() -> Refusal:
    """A token that is missing or not the right one."""
    return Refusal(401, "Unauthorized")


def no_such_route(method: str, path: str) -> Refusal:
    """A path that the API doesn't have."""
    return Refusal(404, f"Cannot {method} {path}")


def no_such_account() -> Refusal:
    """An integrated account that isn't there, or isn't visible to the token."""
    return Refusal(404, "Integrated account not found")


def missing_parameters(names: Sequence[str]) -> Refusal:
    """Parameters that the account's provider can't do without."""
    insight = {
        "missing_required_query_parameters": {
            "description": "The following query parameters are required for this request but were not sent.",
            "value": list(names),
        }
    }
    message = f"Missing required query parameters: {', '.join(names)}"
    return Refusal(400, message, truto_error_insight=insight)


def by_provider(status: int, message: str) -> Refusal:
    """The provider's own error, passed through."""
    raw = {"error": {"type": "invalid_request_error", "message": message}}
    return Refusal(status, message, truto_is_remote_error=True, raw_response=raw)
