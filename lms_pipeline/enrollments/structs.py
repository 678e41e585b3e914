"""The fast way to read a record: msgspec structs made from a shape, and the undocumented keys they learn.

What belongs here: the making of struct types, and reading the learned keys back. A struct forbids keys that it
doesn't know, so that none is dropped in silence; the keys an account adds to its records are learned on their
first sight and from then on read as fast as the documented ones, into fields of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any

import msgspec

from lms_pipeline.transform.shapes import Array, Kind, Object

Path = tuple[str, ...]
"""Where an object stands in a record: () is the record, ("user", "emails") an item of the user's e-mails."""

ABSENT = msgspec.Raw(b"")
"""The value of a `json` field or a learned key that a record doesn't have."""

NOT_READ = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises where the JSON is not what was asked for, or is nested deeper than Python's stack."""

_UNLEARNABLE = re.compile(r'["\\\x00-\x1f]')
"""Characters that msgspec doesn't take in the name of a field."""

Id = Annotated[str, msgspec.Meta(pattern=r"\S")]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

STRICT_TYPES: dict[Kind, Any] = {
    "id": Id,
    "string": str,
    "double": float,
    "int64": Int64,
    "bool": bool,
    "timestamp": datetime,
    "json": msgspec.Raw,
}
"""What a field of a kind must be to be read the fast way, null aside."""


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
    for name, field in shape.fields.items():
        of: Any
        if isinstance(field, Object):
            children[name] = node(field, learned, (*at, name))
            of = children[name].struct
        elif isinstance(field, Array):
            children[name] = node(field.items, learned, (*at, name))
            of = list.__class_getitem__(children[name].struct)
        else:
            of = STRICT_TYPES[field]
        if field == "json":
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
    for field, child in of.learning:
        below = getattr(value, field)
        if isinstance(below, list):
            for place, item in enumerate(below):
                yield from learned_values(child, item, f"{name}{field}[{place}].")
        elif below is not None:
            yield from learned_values(child, below, f"{name}{field}.")
