"""Integrated accounts, capabilities and list metadata as Truto sends them.

Belongs here: how they are read, without an account's `context`, which may hold credentials. Not here: which accounts
are pulled (`accounts/registry.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from lms_pipeline.truto.raw_json import read_field, read_object
from lms_pipeline.truto.response import BadBodyError, check_envelope

T = TypeVar("T")

MAX_TEXT_LENGTH = 1_000
"""Characters of an account's id, tenant or status, and of the name and category of its integration."""
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]

LMS_MODEL = "lms"
"""Name of the unified model of learning management systems, and of their category."""

log = logging.getLogger(__name__)


class Integration(msgspec.Struct, frozen=True):
    """The product behind an account."""

    name: str = ""
    category: str | None = None


class IntegratedAccount(msgspec.Struct, frozen=True):
    """One connected product of one tenant."""

    id: str
    tenant_id: str | None = None
    status: str = "active"
    integration: Integration = Integration()


class UnifiedResource(msgspec.Struct, frozen=True):
    """One resource of a unified model."""

    model: str
    resource: str


class Capabilities(msgspec.Struct, frozen=True):
    """The unified resources of an account."""

    unified: tuple[UnifiedResource, ...]

    @property
    def is_lms(self) -> bool:
        """Whether the unified LMS model is among them."""
        return any(one.model.strip().lower() == LMS_MODEL for one in self.unified)


class _Metadata(msgspec.Struct):
    query_schema: dict[str, Any] | None = None


def read_accounts(records: Sequence[msgspec.Raw]) -> Iterator[IntegratedAccount]:
    """Yield the accounts of a page; one without a text as its id is skipped, and logged without its contents.

    A text of over `MAX_TEXT_LENGTH` characters is read as one of another type.
    """
    for record in records:
        account = read_object(record)
        account_id = read_field(account.get("id"), Text, None)
        if account_id is None:
            log.warning(
                "An integrated account can't be read and is left out: its id is no text of up to %d characters",
                MAX_TEXT_LENGTH,
            )
            continue
        integration = read_object(account.get("integration"))
        yield IntegratedAccount(
            account_id,
            read_field(account.get("tenant_id"), Text, None),
            read_field(account.get("status"), Text, "active"),
            Integration(
                read_field(integration.get("name"), Text, ""), read_field(integration.get("category"), Text, None)
            ),
        )


def read_capabilities(body: bytes, _received_at: datetime) -> Capabilities:
    """Return the capabilities in a body.

    Raises:
        FailedBodyError: the body says that the request failed.
        BadBodyError: the body holds none.
    """
    return _decode(body, Capabilities)


def read_required_parameters(body: bytes, _received_at: datetime) -> tuple[str, ...]:
    """Return the query parameters that a list requires, as `user[id]`, in the order of the metadata.

    Both notations count: `required: true` in a property, and the list of required properties of JSON Schema.

    Raises:
        FailedBodyError: the body says that the request failed.
        BadBodyError: the body is no metadata.
    """
    return tuple(_find_required(_decode(body, _Metadata).query_schema or {}, ""))


def _find_required(schema: dict[str, Any], name: str) -> Iterator[str]:
    properties, listed = schema.get("properties"), schema.get("required")
    for key, value in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(value, dict):
            continue
        if value.get("required") is True or (isinstance(listed, list) and key in listed):
            full_name = f"{name}[{key}]" if name else key
            yield from list(_find_required(value, full_name)) or [full_name]


def _decode(body: bytes, type_: type[T]) -> T:
    check_envelope(read_object(body))
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError("is not what was requested") from None
