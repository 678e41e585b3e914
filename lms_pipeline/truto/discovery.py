"""What an account can do, as Truto tells it without asking the LMS.

What belongs here: reading capabilities and method metadata. What follows from them is the registry's and `pull/`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from lms_pipeline.truto.response import BadBodyError

T = TypeVar("T")

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
