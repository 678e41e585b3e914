"""Requests before they are sent.

What belongs here: paths, and how an error names a request: without ids of learners, without cursors. What can be asked
in them is `query.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, unquote, urlencode

from lms_pipeline.truto.query import AccountsQuery, ListQuery, ObjectQuery, Parameter, QueryError, Resource

Body = Literal["unified", "raw", "other"]
"""How an answer is read: as Truto's own JSON, as a provider's records, or not at all."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and how an error names it."""

    path: str
    parameters: tuple[Parameter, ...]
    label: str
    account_id: str | None = None
    body: Body = "unified"
    has_id: bool = False
    """Whether the path ends with the id of a record."""

    @property
    def secrets(self) -> set[str]:
        """What was sent and must stand in no message: cursors, and what tells of a person; also percent-encoded."""
        label = {
            value for name, value in self.parameters if name == "next_cursor" or name.startswith("user[")
        }
        label |= {self.path.rpartition("/")[2]} if self.has_id else set()
        return label | {quote(value, safe="") for value in label} | {unquote(value) for value in label}

    @property
    def key(self) -> str:
        """What tells it from every other request of the same account."""
        return f"{self.path}?{urlencode(self.parameters)}"

    def asking(self, parameters: list[Parameter]) -> Request:
        """The same with other parameters."""
        return replace(self, parameters=tuple(parameters))


def build_list_request(resource: Resource, query: ListQuery, cursor: str | None = None) -> Request:
    """A page of a list of one account."""
    path = f"/unified/lms/{resource}"
    label = f"GET {path} of account {query.account_id}"
    return Request(path, tuple(query.parameters(cursor)), label, query.account_id, _body(query))


def build_record_request(resource: Resource, record_id: str, query: ObjectQuery) -> Request:
    """A record by its id.

    Raises:
        QueryError: there is no id.
    """
    path = f"/unified/lms/{resource}/{_in_path(record_id)}"
    label = f"GET /unified/lms/{resource}/{{id}} of account {query.account_id}"
    return Request(path, tuple(query.parameters()), label, query.account_id, _body(query), has_id=True)


def build_accounts_request(query: AccountsQuery, cursor: str | None = None) -> Request:
    """A page of the integrated accounts."""
    path = "/integrated-account"
    return Request(path, tuple(query.parameters(cursor)), f"GET {path}")


def build_capabilities_request(account_id: str) -> Request:
    """What an account can be asked for."""
    label = f"GET /integrated-account/{{id}}/capabilities of account {account_id}"
    path = f"/integrated-account/{_in_path(account_id)}/capabilities"
    return Request(path, (("type", "unified"),), label, account_id)


def build_metadata_request(account_id: str, resource: Resource) -> Request:
    """What a list of an account needs to be asked."""
    path = f"/unified/lms/{resource}/meta/list"
    parameters = (("integrated_account_id", account_id),)
    return Request(path, parameters, f"GET {path} of account {account_id}", account_id)


def _body(query: ObjectQuery) -> Body:
    match query.response_format:
        case "unified":
            return "unified"
        case "raw":
            return "raw"
        case _:
            return "other"


def _in_path(record_id: str) -> str:
    """An id as one part of a path, whatever is in it; dots alone would lead elsewhere."""
    if not record_id:
        raise QueryError("A record without an id can't be asked for.")
    return record_id.replace(".", "%2E") if not record_id.strip(".") else quote(record_id, safe="")
