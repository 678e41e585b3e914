"""Integrated accounts as Truto lists them.

What belongs here: reading them; of their `context`, where credentials may be, nothing is read. Which of them we pull
is the registry's to say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from lms_pipeline.truto.response import ABSENT, BadBodyError

T = TypeVar("T")
D = TypeVar("D")

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


class _Listed(msgspec.Struct):
    """Each field is read by itself: one of another type must not hide the account."""

    id: str
    tenant_id: msgspec.Raw = ABSENT
    status: msgspec.Raw = ABSENT
    is_sandbox: msgspec.Raw = ABSENT
    integration: msgspec.Raw = ABSENT


class _Named(msgspec.Struct):
    name: msgspec.Raw = ABSENT
    category: msgspec.Raw = ABSENT


_LISTED = msgspec.json.Decoder(_Listed)


def read_accounts(records: Sequence[msgspec.Raw]) -> Iterator[IntegratedAccount]:
    """The accounts of a page; one without a usable id is left out and logged without its contents."""
    for record in records:
        try:
            listed = _LISTED.decode(record)
        except msgspec.DecodeError as error:
            log.warning("An integrated account can't be read and is left out: %s", error)
            continue
        integration = _field(listed.integration, _Named, _Named())
        yield IntegratedAccount(
            listed.id,
            _field(listed.tenant_id, str, None),
            _field(listed.status, str, "active"),
            _field(listed.is_sandbox, bool, None),
            Integration(_field(integration.name, str, ""), _field(integration.category, str, None)),
        )


def _field(raw: msgspec.Raw, of: type[T], otherwise: D) -> T | D:
    try:
        return msgspec.json.decode(raw, type=of)
    except msgspec.DecodeError:
        return otherwise


MODEL = "lms"
"""The unified model of learning management systems."""


class UnifiedResource(msgspec.Struct, frozen=True):
    """One resource of a unified model, and the methods with which it can be asked."""

    model: str
    resource: str
    methods: tuple[str, ...] = ()


class Capabilities(msgspec.Struct, frozen=True):
    """The unified resources of an account."""

    unified: tuple[UnifiedResource, ...] = ()

    @property
    def is_lms(self) -> bool:
        """Whether the unified LMS model is among them."""
        return any(one.model == MODEL for one in self.unified)


class _Meta(msgspec.Struct):
    query_schema: dict[str, Any] | None = None


def read_capabilities(body: bytes) -> Capabilities:
    """The capabilities in a body.

    Raises:
        BadBodyError: it tells none.
    """
    return _decoded(body, Capabilities)


def required_parameters(body: bytes) -> tuple[str, ...]:
    """The query parameters without which a list gives no answer, as `user[id]`, in the order of the metadata.

    A property says `required: true` of itself; an object that names its required properties in a list, as JSON Schema
    has it, is understood as well.

    Raises:
        BadBodyError: it is no metadata.
    """
    return tuple(_required(_decoded(body, _Meta).query_schema or {}, ""))


def _required(schema: dict[str, Any], name: str) -> Iterator[str]:
    properties, listed = schema.get("properties"), schema.get("required")
    for key, of in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(of, dict):
            continue
        if of.get("required") is True or (isinstance(listed, list) and key in listed):
            full = f"{name}[{key}]" if name else key
            yield from list(_required(of, full)) or [full]


def _decoded(body: bytes, of: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=of)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBodyError("is not what it was asked for") from None
