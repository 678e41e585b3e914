"""Integrated accounts, capabilities and list metadata as Truto sends them.

What belongs here: how they are read. Of an account's `context`, where credentials may be, nothing is read. Which
accounts are pulled is the registry's decision.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from lms_pipeline.truto.response import BadBodyError, read_field

T = TypeVar("T")

LMS_MODEL = "lms"
"""Name of the unified model of learning management systems."""

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
    is_sandbox: bool | None = None
    integration: Integration = Integration()


class UnifiedResource(msgspec.Struct, frozen=True):
    """One resource of a unified model."""

    model: str
    resource: str


class Capabilities(msgspec.Struct, frozen=True):
    """The unified resources of an account."""

    unified: tuple[UnifiedResource, ...] = ()

    @property
    def is_lms(self) -> bool:
        """Whether the unified LMS model is among them."""
        return any(one.model == LMS_MODEL for one in self.unified)


class _ListedAccount(msgspec.Struct):
    """Each field is read by itself: a field of another type must not hide the account."""

    id: str
    tenant_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    is_sandbox: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    integration: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _ListedIntegration(msgspec.Struct):
    name: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    category: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Metadata(msgspec.Struct):
    query_schema: dict[str, Any] | None = None


_ACCOUNT = msgspec.json.Decoder(_ListedAccount)


def read_accounts(records: Sequence[msgspec.Raw]) -> Iterator[IntegratedAccount]:
    """Yield the accounts of a page; one without a usable id is skipped, and logged without its contents."""
    for record in records:
        try:
            listed = _ACCOUNT.decode(record)
        except msgspec.DecodeError as error:
            log.warning("An integrated account can't be read and is left out: %s", error)
            continue
        integration = read_field(listed.integration, _ListedIntegration, _ListedIntegration())
        yield IntegratedAccount(
            listed.id,
            read_field(listed.tenant_id, str, None),
            read_field(listed.status, str, "active"),
            read_field(listed.is_sandbox, bool, None),
            Integration(read_field(integration.name, str, ""), read_field(integration.category, str, None)),
        )


def read_capabilities(body: bytes, _received_at: datetime) -> Capabilities:
    """Return the capabilities in a body.

    Raises:
        BadBodyError: the body holds none.
    """
    return _decode(body, Capabilities)


def read_required_parameters(body: bytes, _received_at: datetime) -> tuple[str, ...]:
    """Return the query parameters that a list requires, as `user[id]`, in the order of the metadata.

    Both notations count: `required: true` in a property, and the list of required properties of JSON Schema.

    Raises:
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
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError("is not what was requested") from None
