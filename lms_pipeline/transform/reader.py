"""The slow way to read a record that doesn't fit: field by field, keeping what can't be read.

What belongs here: walking a record along its shape. It gives the same struct as the fast way for a record that
fits, so that what follows need not know which way a record came. Single values are `kinds.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any

import msgspec

from lms_pipeline.transform import coerce
from lms_pipeline.transform.coerce import NOT_READ, STRICT_TYPES, is_in_calendar
from lms_pipeline.transform.shapes import Array, Field, Object, Shape

Path = tuple[str, ...]
"""Where an object stands in a record: () is the record, ("user", "emails") an item of the user's e-mails."""

ABSENT = msgspec.Raw(b"")
"""The value of a `json` field or a learned key that a record doesn't have."""

_UNLEARNABLE = re.compile(r'["\\\x00-\x1f]')
"""Characters that msgspec doesn't take in the name of a field."""


@dataclass(frozen=True)
class Node:
    """The struct of one object of a shape, with the nodes of the objects inside it."""

    shape: Object
    struct: type[msgspec.Struct]
    children: dict[str, Node]
    learned: tuple[tuple[str, str], ...]
    """(attribute, key) of each learned key: a key can be any string, an attribute can't."""

    @cached_property
    def learning(self) -> tuple[tuple[str, Node], ...]:
        """The children with a learned key in them."""
        return tuple(
            (name, child) for name, child in self.children.items() if child.learned or child.learning
        )


def can_be_learned(key: str) -> bool:
    """Whether a struct can have a field of this name."""
    return not _UNLEARNABLE.search(key)


def node(shape: Object, learned: Mapping[Path, Iterable[str]], at: Path = ()) -> Node:
    """The node of `shape` at `at`, which takes the documented fields and the `learned` keys, and no other."""
    children: dict[str, Node] = {}
    fields: list[tuple[str, Any, Any]] = []
    for name, member in shape.fields.items():
        of: Any
        if isinstance(member, Object):
            children[name] = node(member, learned, (*at, name))
            of = children[name].struct
        elif isinstance(member, Array):
            children[name] = node(member.items, learned, (*at, name))
            of = list.__class_getitem__(children[name].struct)
        else:
            of = STRICT_TYPES[member]
        if member == "json":
            fields.append((name, of, ABSENT))
        elif name in shape.required:
            fields.append((name, of, msgspec.NODEFAULT))
        else:
            fields.append((name, of | None, None))
    attributes = tuple((f"learned_{number}", key) for number, key in enumerate(sorted(learned.get(at, ()))))
    fields += [(name, msgspec.Raw, msgspec.field(name=key, default=ABSENT)) for name, key in attributes]
    struct = msgspec.defstruct(
        "_".join(("record", *at)), fields, kw_only=True, forbid_unknown_fields=True, frozen=True, gc=False
    )
    return Node(shape, struct, children, attributes)


def learned_values(of: Node, value: Any, name: str = "") -> Iterator[tuple[str, bytes]]:  # noqa: ANN401
    """The learned keys that `value`, an instance of the node's struct, has: dotted name and JSON."""
    for attribute, key in of.learned:
        raw = getattr(value, attribute)
        if raw is not ABSENT:
            yield f"{name}{key}", bytes(raw)
    for member, child in of.learning:
        below = getattr(value, member)
        if isinstance(below, list):
            for place, item in enumerate(below):
                yield from learned_values(child, item, f"{name}{member}[{place}].")
        elif below is not None:
            yield from learned_values(child, below, f"{name}{member}.")


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


MAX_LEARNED_KEYS = 200
"""Undocumented keys learned per list. A list that invents keys for each record is read the lenient way instead."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: its fields as a struct, and what of it has no column as a JSON object."""

    fields: Any
    extra: str | None


@dataclass
class RecordReader:
    """Reads the records of one list of one account, and learns the keys it adds to the documented ones."""

    shape: Shape
    counts: Counter[str] = field(default_factory=Counter)
    """`read_leniently`, and `unreadable_<field>` for each documented field that could not be read."""

    def __post_init__(self) -> None:
        """Start without learned keys."""
        self._plain = node(self.shape.record, {})
        self._instants = attrgetter(
            *(name for name, of in self.shape.record.fields.items() if of == "timestamp")
        )
        self._learned: dict[Path, set[str]] = {}
        self._use(self._plain)

    def read(self, raw: msgspec.Raw) -> Record:
        """One record.

        Raises:
            Rejected: it names no usable enrollment, user or course.
        """
        try:
            return self._fast(raw)
        except NOT_READ:
            return self._leniently(raw)

    def _fast(self, raw: msgspec.Raw) -> Record:
        fields = self._decoder.decode(raw)
        if not all(map(is_in_calendar, self._instants(fields))):
            return self._leniently(raw)
        return Record(fields, _json(dict(learned_values(self._node, fields))) if self._learned else None)

    def _leniently(self, raw: msgspec.Raw) -> Record:
        reader = LenientReader()
        fields = reader.read(self._plain, raw)
        if self._learn(reader.unknown_keys) and not reader.unreadable:
            return self.read(raw)
        self.counts["read_leniently"] += 1
        self.counts.update(f"unreadable_{name.partition('[')[0]}" for name in reader.unreadable)
        return Record(fields, _json(reader.extra))

    def _learn(self, keys: dict[Path, set[str]]) -> bool:
        """Whether there was anything new that could be learned."""
        known = self._learned
        learned = {path: set(names) for path, names in known.items()}
        for path, names in keys.items():
            if learnable := set(filter(can_be_learned, names)):
                learned.setdefault(path, set()).update(learnable)
        if learned == known or sum(map(len, learned.values())) > MAX_LEARNED_KEYS:
            return False
        self._learned = learned
        self._use(node(self.shape.record, learned))
        return True

    def _use(self, record: Node) -> None:
        self._node = record
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record.struct)


def _json(members: dict[str, bytes]) -> str | None:
    """A JSON object of members whose values are JSON already, its keys in order."""
    if not members:
        return None
    inner = b",".join(msgspec.json.encode(key) + b":" + members[key] for key in sorted(members))
    return (b"{" + inner + b"}").decode()
