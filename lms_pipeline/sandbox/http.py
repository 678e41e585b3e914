"""HTTP messages of the sandbox: request, query parameters, response, and the error bodies of the API.

Belongs here: the shape of messages. When a request is refused is decided in `api/` and `faults/`.
"""

from __future__ import annotations

import re
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import starlette.requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from starlette.types import Scope

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"

NOT_ENROLLED = "The requested user is not enrolled in this course"
"""TalentLMS's message for a pair that doesn't exist."""
CONNECTION_BROKEN = "The connection of this account is broken, it has to be connected again"

DEBUG_SECRET = "Bearer provider-secret-8f14e45fceea167a"  # noqa: S105 - a fake
"""Stands in `debug` and `context`, where the real API shows how Truto signs in to the provider."""
_DEBUG = {"request": {"headers": {"authorization": DEBUG_SECRET}}, "response": {"status": 200}}
_CONTEXT = {"oauth": {"token": {"access_token": DEBUG_SECRET}}}

_NAME = re.compile(r"[^\[\]]+(\[[^\[\]]*\])*")
_PART = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")
"""The text before and between brackets; `[]` is an empty part."""

Format = Literal["unified", "raw", "normalized", "stream", "debug"]
"""The values of `truto_response_format`."""
ParameterName = tuple[str, ...]
"""`user[emails][0][type]` is `("user", "emails", "0", "type")`."""

decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Parameters:
    """The parameters of a query string, in their order.

    `a[b][c]=x` is nested. An array may come as `a[]=x`, `a[0]=x`, `a=x&a=y` or `a=x,y`.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = [(parse_name(key), value) for key, value in pairs]

    def get(self, *name: str) -> str:
        """Return the last value of a parameter, or an empty text if it is missing."""
        return next((value for key, value in reversed(self._pairs) if key == name), "")

    def get_list(self, name: str) -> list[str]:
        """Return the values of an array in any of its spellings."""
        texts = [
            value
            for key, value in self._pairs
            if key[0] == name and (len(key) == 1 or (len(key) == 2 and _is_index(key[1])))
        ]
        return [item for text in texts for item in text.split(",") if item]

    def get_nested(self, name: str) -> list[tuple[ParameterName, str]]:
        """Return the parameters nested in `name`, with the rest of their names."""
        return [(key[1:], value) for key, value in self._pairs if key[0] == name and len(key) > 1]


def parse_name(key: str) -> ParameterName:
    """Split a parameter's name at its brackets; a name with unbalanced brackets is one part."""
    return tuple(_PART.findall(key)) if _NAME.fullmatch(key) else (key,)


def _is_index(part: str) -> bool:
    return not part or part.isdecimal()


class Request(starlette.requests.Request):
    """A request with the route that it matches, its account and its parameters."""

    def __init__(self, scope: Scope, route: str | None = None) -> None:
        super().__init__(scope)
        self.path: str = scope["path"]
        self.route = route or self.path
        """The route with placeholders, as `/unified/lms/users/{id}`; the path if no route matches."""

    @cached_property
    def parameters(self) -> Parameters:
        """The query parameters."""
        return Parameters(self.query_params.multi_items())

    @cached_property
    def account_id(self) -> str | None:
        """The account that the request names, if any."""
        if self.route.startswith("/integrated-account/"):
            return self.path_params.get("id") or None
        return self.parameters.get("integrated_account_id") or None


class Response(NamedTuple):
    """A response before it is sent; its body is complete, or comes in chunks."""

    body: bytes | Iterator[bytes]
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = {}

    def read_body(self) -> bytes:
        """Return the complete body; this uses up one that comes in chunks."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


def json_response(value: object) -> Response:
    """Return a response with a value as JSON."""
    return Response(msgspec.json.encode(value))


def add_debug(body: bytes, *, in_records: bool = False) -> bytes:
    """Add `debug` and `context` to a JSON object and, with `in_records`, to each record of its `result`."""
    if not body.startswith(b"{"):
        return body
    members: dict[str, Any] = decode_members(body)
    result = bytes(members.get("result", b""))
    if in_records and result.startswith(b"["):
        members["result"] = [msgspec.Raw(add_debug(bytes(record))) for record in _decode_items(result)]
    return msgspec.json.encode(members | {"debug": _DEBUG, "context": _CONTEXT})


class Refusal(Exception):  # noqa: N818 - a response of the API, not an error of the sandbox
    """An error response; raise it anywhere below a route."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **fields: object
    ) -> None:
        super().__init__(message)
        body = {"statusCode": status, "error": HTTPStatus(status).phrase, "message": message, **fields}
        self.response = Response(msgspec.json.encode(body), status, headers=headers or {})


def bad_request(message: str) -> Refusal:
    """Return Truto's response to an invalid request."""
    return Refusal(400, message)


def unauthorized() -> Refusal:
    """Return the response to a missing or wrong token."""
    return Refusal(401, "Unauthorized")


def unknown_route(request: Request) -> Refusal:
    """Return the response to a path that the API doesn't have."""
    return Refusal(404, f"Cannot {request.method} {request.path}")


def unknown_account() -> Refusal:
    """Return the response for an integrated account that doesn't exist, or that the token can't see."""
    return Refusal(404, "Integrated account not found")


def method_not_allowed() -> Refusal:
    """Return the response to a method that writes."""
    return Refusal(405, "Method not allowed on sandbox accounts", headers={"allow": "GET"})


def missing_parameters(names: Sequence[str]) -> Refusal:
    """Return the response to a request without the parameters that the account's provider requires."""
    insight = {
        "missing_required_query_parameters": {
            "description": "The following query parameters are required for this request but were not sent.",
            "value": list(names),
        }
    }
    message = f"Missing required query parameters: {', '.join(names)}"
    return Refusal(400, message, truto_error_insight=insight)


def remote_error(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Refusal:
    """Return the provider's own error, which Truto passes through with its headers."""
    insight: dict[str, Any] = {"remote_error": {"description": "The error comes from the integration itself."}}
    if status == 429:
        insight["rate_limit_error"] = {"description": "The integration's rate limit was hit."}
    if status == 403:
        insight["forbidden_error"] = {"description": "The connection lacks scopes.", "value": {"missing_scopes": []}}
    return Refusal(
        status,
        message,
        headers=headers,
        truto_is_remote_error=True,
        raw_response={"error": {"type": "invalid_request_error", "message": message}},
        truto_error_insight=insight,
    )
