"""The slow way to read a record that doesn't fit: field by field, keeping what can't be read.

What belongs here: walking a record along its shape. It gives the same struct as the fast way for a record that
fits, so that what follows need not know which way a record came. Single values are `kinds.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from lms_pipeline.enrollments.structs import ABSENT, NOT_READ, Node, Path
from lms_pipeline.transform import coerce
from lms_pipeline.transform.shapes import Array, Field, Object

_MEMBERS: msgspec.json.Decoder[dict[str, msgspec.Raw] | None] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | None
)
_ITEMS: msgspec.json.Decoder[list[msgspec.Raw] | None] = msgspec.json.Decoder(list[msgspec.Raw] | None)


class Rejected(Exception):  # noqa: N818 (a rejected record is a row of its own table, not an error)
    """The record names no usable enrollment, user or course; `field` is None where it is no object at all."""

    def __init__(self, reason: str, field: str | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


@dataclass
class LenientReader:
    """Reads one record, and tells what of it has no column."""

    extra: dict[str, bytes] = field(default_factory=dict)
    """Undocumented keys, and values that can't be read, under their dotted names."""
    unreadable: list[str] = field(default_factory=list)
    """The documented fields that could not be read."""
    unknown_keys: dict[Path, set[str]] = field(default_factory=dict)
    """The undocumented keys by the object that has them."""

    def read(self, node: Node, raw: msgspec.Raw) -> Any:  # noqa: ANN401 (a struct made at run time)
        """The record as an instance of the node's struct.

        Raises:
            Rejected: a field without which the record is nobody's can't be used.
        """
        members = _members(raw)
        if members is None:
            raise Rejected("the record is not an object", None)
        return self._struct(node, members, (), "")

    def _struct(self, node: Node, members: dict[str, msgspec.Raw], path: Path, name: str) -> Any:  # noqa: ANN401
        values: dict[str, Any] = {}
        for key, raw in members.items():
            if key not in node.shape.fields:
                self.extra[f"{name}{key}"] = bytes(raw)
                self.unknown_keys.setdefault(path, set()).add(key)
        for key, of in node.shape.fields.items():
            raw = members.get(key, ABSENT)
            required = key in node.shape.required
            if required and isinstance(of, Object):
                values[key] = self._required_object(node.children[key], raw, (*path, key), f"{name}{key}")
            elif required:
                values[key] = _required_id(raw, f"{name}{key}")
            elif raw is not ABSENT:
                values[key] = self._optional(node, key, raw, (*path, key), f"{name}{key}")
        return node.struct(**values)

    def _required_object(self, node: Node, raw: msgspec.Raw, path: Path, name: str) -> Any:  # noqa: ANN401
        members = _members(raw) if raw is not ABSENT else None
        if members is None:
            raise Rejected(f"{name} is not an object", f"{name}.{node.shape.required[0]}")
        return self._struct(node, members, path, f"{name}.")

    def _optional(self, node: Node, key: str, raw: msgspec.Raw, path: Path, name: str) -> Any:  # noqa: ANN401
        of: Field = node.shape.fields[key]
        if isinstance(of, Object):
            members = _members(raw)
            if members is not None:
                return self._struct(node.children[key], members, path, f"{name}.")
        elif isinstance(of, Array):
            items = _objects(raw)
            if items is not None:
                return [
                    self._struct(node.children[key], item, path, f"{name}[{place}].")
                    for place, item in enumerate(items)
                ]
        else:
            try:
                return coerce.read(of, raw)
            except coerce.Unreadable:
                pass
        if bytes(raw) != b"null":
            self.extra[name] = bytes(raw)
            self.unreadable.append(name)
        return None


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    try:
        return _MEMBERS.decode(raw)
    except NOT_READ:
        return None


def _objects(raw: msgspec.Raw) -> list[dict[str, msgspec.Raw]] | None:
    try:
        items = _ITEMS.decode(raw)
    except NOT_READ:
        return None
    objects = [_members(item) for item in items or ()]
    return (
        None if items is None or None in objects else [members for members in objects if members is not None]
    )


def _required_id(raw: msgspec.Raw, name: str) -> str:
    if raw is ABSENT:
        raise Rejected(f"{name} is missing", name)
    try:
        value = coerce.read("id", raw)
    except coerce.Unreadable as unreadable:
        raise Rejected(f"{name} {unreadable}", name) from None
    if value is None:
        raise Rejected(f"{name} is empty", name)
    return str(value)
