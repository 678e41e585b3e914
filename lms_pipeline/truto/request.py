"""Requests before they are sent: path, parameters, redacted label and key.

Belongs here: how each request of the API is built. Not here: which parameters it takes (`query.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, assert_never
from urllib.parse import quote, unquote, urlencode

from lms_pipeline.truto.query import (
    ListQuery,
    ObjectQuery,
    Parameter,
    QueryError,
    Resource,
    ResponseFormat,
    encode_parameters,
)

BodyKind = Literal["unified", "raw", "other"]
"""How a body is read: as Truto's JSON, as a provider's records, or (`other`) by the caller's own function."""


@dataclass(frozen=True)
class Request:
    """A GET request, and how messages and stores name it."""

    path: str
    parameters: tuple[Parameter, ...]
    label: str
    """The request in messages: without ids of learners and without cursors."""
    account_id: str | None = None
    body: BodyKind = "unified"
    is_list: bool = False
    """Whether a response without content is an empty list."""
    has_id: bool = False
    """Whether the path ends with the id of a record."""
    scope: str = ""
    """What the request is part of, as `list users 1`: the first words of its key."""

    @property
    def secrets(self) -> set[str]:
        """Cursors and personal values of the request, plain and percent-encoded: no message may hold them."""
        secrets = {value for name, value in self.parameters if name == "next_cursor" or name.startswith("user[")}
        secrets |= {self.path.rpartition("/")[2]} if self.has_id else set()
        return secrets | {quote(value, safe="") for value in secrets} | {unquote(value) for value in secrets}

    @cached_property
    def query(self) -> str:
        """The parameters, percent-encoded."""
        return urlencode(self.parameters)

    @cached_property
    def key(self) -> str:
        """The request's key in a response store; checkpoints on disk hold it, so its text never changes."""
        return f"{self.scope} {self.path}?{self.query}"


def format_list_scope(resource: Resource, round_: int, response_format: ResponseFormat = "unified") -> str:
    """Return the scope of all pages of a list; each round reads the list from its start.

    A list in another format has its own cursors, so that it restarts without the unified one.
    """
    return f"list {resource} {'' if response_format == 'unified' else f'{response_format} '}{round_}"


def build_list_request(resource: Resource, query: ListQuery, cursor: str | None = None, round_: int = 1) -> Request:
    """Build the request of one page of an account's list; without a cursor it is the first page."""
    return _build_list_request(resource, query, cursor, format_list_scope(resource, round_, query.response_format))


def build_pair_request(query: ListQuery) -> Request:
    """Build the request of the enrollment of one learner in one course."""
    return _build_list_request("course-enrollments", query, None, "pair")


def _build_list_request(resource: Resource, query: ListQuery, cursor: str | None, scope: str) -> Request:
    path = f"/unified/lms/{resource}"
    return Request(
        path,
        tuple(query.to_parameters(cursor)),
        f"GET {path} of account {query.account_id}",
        query.account_id,
        _classify_body(query.response_format),
        is_list=True,
        scope=scope,
    )


def build_record_request(resource: Resource, record_id: str, query: ObjectQuery) -> Request:
    """Build the request of a record by its id.

    Raises:
        QueryError: the id is empty.
    """
    return Request(
        f"/unified/lms/{resource}/{_quote_id(record_id)}",
        tuple(query.to_parameters()),
        f"GET /unified/lms/{resource}/{{id}} of account {query.account_id}",
        query.account_id,
        _classify_body(query.response_format),
        has_id=True,
        scope="one",
    )


def build_metadata_request(account_id: str, resource: Resource) -> Request:
    """Build the request of a list's metadata: the query parameters that the account requires."""
    path = f"/unified/lms/{resource}/meta/list"
    parameters = (("integrated_account_id", account_id),)
    return Request(path, parameters, f"GET {path} of account {account_id}", account_id, scope="meta")


def build_accounts_request(limit: int | None = None, cursor: str | None = None) -> Request:
    """Build the request of one page of the integrated accounts."""
    path = "/integrated-account"
    parameters = encode_parameters("", {"limit": limit, "next_cursor": cursor})
    return Request(path, tuple(parameters), f"GET {path}", is_list=True, scope="accounts")


def build_capabilities_request(account_id: str) -> Request:
    """Build the request of the unified models that an account offers."""
    path = f"/integrated-account/{_quote_id(account_id)}/capabilities"
    label = f"GET /integrated-account/{{id}}/capabilities of account {account_id}"
    return Request(path, (("type", "unified"),), label, account_id, scope="capabilities")


def _classify_body(response_format: ResponseFormat) -> BodyKind:
    match response_format:
        case "unified" | "raw":
            return response_format
        case "normalized" | "stream":
            return "other"
        case unknown:
            assert_never(unknown)


def _quote_id(record_id: str) -> str:
    """Return an id as one segment of a path; `.` and `..` would name another path."""
    if not record_id:
        raise QueryError("A record without an id can't be requested.")
    return record_id.replace(".", "%2E") if not record_id.strip(".") else quote(record_id, safe="")
