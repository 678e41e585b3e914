"""The answers that say no, as the API words them.

What belongs here: one function for each way in which Truto or a provider refuses. When to refuse is decided in
`gate.py`, `query.py`, `limits.py` and the handlers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from lms_pipeline.sandbox.wire.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_ENROLLED = "The requested user is not enrolled in this course"
"""TalentLMS's words for a pair that doesn't exist."""
CONNECTION_BROKEN = "The connection of this account is broken, it has to be connected again"


class Refusal(Exception):  # noqa: N818 - it is an answer of the API, not an error of the sandbox
    """Raised anywhere below a route, and answered as an error body."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(message)
        told: dict[str, Any] = {
            "statusCode": status,
            "error": HTTPStatus(status).phrase,
            "message": message,
            **more,
        }
        self.answer = Answer(msgspec.json.encode(told), status, headers=headers or {})


def bad_request(message: str) -> Refusal:
    """A request that Truto itself doesn't take."""
    return Refusal(400, message)


def unauthorized() -> Refusal:
    """A token that is missing or not the right one."""
    return Refusal(401, "Unauthorized")


def no_such_route(method: str, path: str) -> Refusal:
    """A path that the API doesn't have."""
    return Refusal(404, f"Cannot {method} {path}")


def only_reading() -> Refusal:
    """A method that would write."""
    return Refusal(405, "Method not allowed on sandbox accounts", headers={"allow": "GET"})


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


def too_many_for_truto(seconds: int) -> Refusal:
    """One of Truto's own tiers is used up: it says how long to wait."""
    return Refusal(429, "Too many requests", headers={"retry-after": str(seconds)})


def too_many_for_provider(headers: Mapping[str, str]) -> Refusal:
    """The provider's limit is used up: its headers say when it begins anew."""
    return by_provider(429, "API rate limit exceeded", headers=headers)


def by_provider(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Refusal:
    """The provider's own error, passed through with its headers."""
    raw = {"error": {"type": "invalid_request_error", "message": message}}
    insight: dict[str, Any] = {
        "remote_error": {"description": "The error comes from the integration itself."}
    }
    if status == 429:
        insight["rate_limit_error"] = {"description": "The integration's rate limit was hit."}
    if status == 403:
        insight["forbidden_error"] = {
            "description": "The connection lacks scopes.",
            "value": {"missing_scopes": []},
        }
    return Refusal(
        status,
        message,
        headers=headers,
        truto_is_remote_error=True,
        raw_response=raw,
        truto_error_insight=insight,
    )
