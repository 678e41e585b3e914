"""Read the JSON of one record into a struct: strictly if the record fits its shape, otherwise field by field.

Belongs here: both readers, and the undocumented keys and rejected records that they find. Not here: single values
(`coerce.py`), the fields of a record (`shapes.py`), columns (`columns.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from lms_pipeline.transform.coerce import STRICT_TYPES, OptionalRaw, SentinelDateError, UnreadableValueError, read_value
from lms_pipeline.transform.shapes import Array, Field, Object, Shape
from lms_pipeline.transform.timestamps import has_last_instant, is_storable
from lms_pipeline.truto.raw_json import DECODE_ERRORS
from lms_pipeline.truto.response import MAX_RECORD_BYTES, is_too_large

Path = tuple[str, ...]
"""The position of an object in a record: () is the record, ("user", "emails") an item of the user's e-mails."""

MAX_UNDOCUMENTED_KEYS = 200
"""Undocumented keys that the struct of a list can have. A list with new keys in each record is read field by field."""

MAX_ARRAY_ITEMS = 1_000
"""Items of an array that has a column: a learner's e-mails are repeated in the rows of all of the learner's enrollments."""

_FEW_ITEMS = msgspec.Meta(max_length=MAX_ARRAY_ITEMS)
_NO_FIELD_NAME = re.compile(r'["\\\x00-\x1f]')
"""Characters that msgspec does not accept in the name of a field."""


class RejectedRecordError(Exception):
    """The record names no usable enrollment, user or course; `field` is None if it is too large or not an object."""

    def __init__(self, reason: str, field: str | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of a record as a struct, and everything without a column as a JSON object."""

    fields: Any
    extra: str | None


@dataclass
class RecordReader:
    """Reads the records of one list of one account.

    A record with undocumented keys is read field by field once. Then its keys become fields of the struct, and the
    next record that has them is read strictly: 123 µs instead of 204 µs for a record with two such keys.
    """

    shape: Shape
    counts: Counter[str] = field(default_factory=Counter)
    """`read_leniently`, and for each documented field `unreadable_<field>`, the values that could not be read, and
    `sentinel_<field>`, the timestamps that mean "no date"."""

    def __post_init__(self) -> None:
        self._documented = build_node(self.shape.record, {})
        self._get_timestamps = attrgetter(
            *(name for name, kind in self.shape.record.fields.items() if kind == "timestamp")
        )
        self._undocumented_keys: dict[Path, set[str]] = {}
        self._use_node(self._documented)

    def read(self, raw: msgspec.Raw) -> Record:
        """Return one record.

        Raises:
            RejectedRecordError: it is too large, or names no usable enrollment, user or course.
        """
        if is_too_large(raw):
            raise RejectedRecordError(f"the record is larger than {MAX_RECORD_BYTES // 2**20} MB", None)
        try:
            return self._read_strictly(raw)
        except DECODE_ERRORS:
            return self._read_leniently(raw)

    def _read_strictly(self, raw: msgspec.Raw) -> Record:
        fields = self._decoder.decode(raw)
        if has_last_instant(bytes(raw)) or not all(map(is_storable, self._get_timestamps(fields))):
            return self._read_leniently(raw)
        has_keys = bool(self._undocumented_keys)
        return Record(fields, _encode_object(dict(iter_undocumented(self._node, fields))) if has_keys else None)

    def _read_leniently(self, raw: msgspec.Raw) -> Record:
        reader = LenientReader()
        fields = reader.read(self._documented, raw)
        if self._add_undocumented_keys(reader.undocumented_keys) and not reader.unreadable:
            return self.read(raw)
        self.counts["read_leniently"] += 1
        self.counts.update(f"unreadable_{name.partition('[')[0]}" for name in reader.unreadable)
        self.counts.update(f"sentinel_{name}" for name in reader.sentinels)
        return Record(fields, _encode_object(reader.extra))

    def _add_undocumented_keys(self, keys: Mapping[Path, set[str]]) -> bool:
        """Add `keys` to the struct, and return whether any of them is new and can be a field."""
        extended = {path: set(names) for path, names in self._undocumented_keys.items()}
        for path, names in keys.items():
            if usable := {name for name in names if not _NO_FIELD_NAME.search(name)}:
                extended.setdefault(path, set()).update(usable)
        if extended == self._undocumented_keys or sum(map(len, extended.values())) > MAX_UNDOCUMENTED_KEYS:
            return False
        self._undocumented_keys = extended
        self._use_node(build_node(self.shape.record, extended))
        return True

    def _use_node(self, node: Node) -> None:
        self._node = node
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(node.struct)


@dataclass(frozen=True)
class Node:
    """The struct of one object of a shape, and the nodes of the objects inside it."""

    shape: Object
    struct: type[msgspec.Struct]
    children: dict[str, Node]
    undocumented: tuple[tuple[str, str], ...]
    """(attribute, key) of each undocumented key: a key can be any string, an attribute can't."""

    @cached_property
    def extended_children(self) -> tuple[tuple[str, Node], ...]:
        """The children with an undocumented key at any level."""
        return tuple(
            (name, child) for name, child in self.children.items() if child.undocumented or child.extended_children
        )


def build_node(shape: Object, undocumented_keys: Mapping[Path, Iterable[str]], path: Path = ()) -> Node:
    """Return the node of `shape` at `path`. Its struct accepts the documented fields and the given keys only."""
    children: dict[str, Node] = {}
    fields: list[tuple[str, Any, Any]] = []
    for name, member in shape.fields.items():
        kind: Any
        if isinstance(member, Object):
            children[name] = build_node(member, undocumented_keys, (*path, name))
            kind = children[name].struct
        elif isinstance(member, Array):
            children[name] = build_node(member.items, undocumented_keys, (*path, name))
            kind = Annotated[list.__class_getitem__(children[name].struct), _FEW_ITEMS]
        else:
            kind = STRICT_TYPES[member]
        if member == "json":
            fields.append((name, OptionalRaw, msgspec.UNSET))
        elif name in shape.required:
            fields.append((name, kind, msgspec.NODEFAULT))
        else:
            fields.append((name, kind | None, None))
    keys = sorted(undocumented_keys.get(path, ()))
    attributes = tuple((f"undocumented_{number}", key) for number, key in enumerate(keys))
    fields += [(name, OptionalRaw, msgspec.field(name=key, default=msgspec.UNSET)) for name, key in attributes]
    struct = msgspec.defstruct(
        "_".join(("record", *path)), fields, kw_only=True, forbid_unknown_fields=True, frozen=True, gc=False
    )
    return Node(shape, struct, children, attributes)


def iter_undocumented(node: Node, value: Any, prefix: str = "") -> Iterator[tuple[str, bytes]]:  # noqa: ANN401
    """Yield dotted name and JSON of the undocumented keys of `value`, an instance of the node's struct."""
    for attribute, key in node.undocumented:
        raw = getattr(value, attribute)
        if raw is not msgspec.UNSET:
            yield f"{prefix}{key}", bytes(raw)
    for name, child in node.extended_children:
        member = getattr(value, name)
        if isinstance(member, list):
            for index, item in enumerate(member):
                yield from iter_undocumented(child, item, f"{prefix}{name}[{index}].")
        elif member is not None:
            yield from iter_undocumented(child, member, f"{prefix}{name}.")


@dataclass
class LenientReader:
    """Reads one record field by field, and collects everything in it that has no column."""

    extra: dict[str, bytes] = field(default_factory=dict)
    """Undocumented keys, unreadable values and sentinel dates, by their dotted names."""
    unreadable: list[str] = field(default_factory=list)
    """The documented fields that could not be read."""
    sentinels: list[str] = field(default_factory=list)
    """The timestamps that mean "no date"."""
    undocumented_keys: dict[Path, set[str]] = field(default_factory=dict)
    """The undocumented keys by the position of their object."""

    def read(self, node: Node, raw: msgspec.Raw) -> Any:  # noqa: ANN401 (a struct made at run time)
        """Return the record as an instance of the node's struct: of a record that fits, what the strict reader returns.

        Raises:
            RejectedRecordError: a required field can't be used.
        """
        members = _read_members(raw)
        if members is None:
            raise RejectedRecordError("the record is not an object", None)
        return self._read_struct(node, members, (), "")

    def _read_struct(self, node: Node, members: dict[str, msgspec.Raw], path: Path, prefix: str) -> Any:  # noqa: ANN401
        values: dict[str, Any] = {}
        for key, raw in members.items():
            if key not in node.shape.fields:
                self.extra[f"{prefix}{key}"] = bytes(raw)
                self.undocumented_keys.setdefault(path, set()).add(key)
        for key, kind in node.shape.fields.items():
            member, name = members.get(key), f"{prefix}{key}"
            is_required = key in node.shape.required
            if is_required and not isinstance(kind, Object):
                values[key] = _read_required_id(member, name)
            elif member is not None:
                values[key] = self._read_member(node, key, member, (*path, key), name)
            if is_required and isinstance(kind, Object) and values.get(key) is None:
                raise RejectedRecordError(f"{name} is not an object", f"{name}.{kind.required[0]}")
        return node.struct(**values)

    def _read_member(self, node: Node, key: str, raw: msgspec.Raw, path: Path, name: str) -> Any:  # noqa: ANN401
        kind: Field = node.shape.fields[key]
        if isinstance(kind, Object):
            members = _read_members(raw)
            if members is not None:
                return self._read_struct(node.children[key], members, path, f"{name}.")
        elif isinstance(kind, Array):
            items = _read_objects(raw)
            if items is not None:
                return [
                    self._read_struct(node.children[key], item, path, f"{name}[{index}].")
                    for index, item in enumerate(items)
                ]
        else:
            try:
                return read_value(kind, raw)
            except SentinelDateError:
                self.extra[name] = bytes(raw)
                self.sentinels.append(name)
                return None
            except UnreadableValueError:
                pass
        if bytes(raw) != b"null":
            self.extra[name] = bytes(raw)
            self.unreadable.append(name)
        return None


_MEMBERS_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS_DECODER = msgspec.json.Decoder(list[msgspec.Raw])
# not `read_field`, which took 80 µs instead of 71 for a record that is read leniently


def _read_members(raw: msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """Return the members of a JSON object, None if it is not an object."""
    try:
        return _MEMBERS_DECODER.decode(raw)
    except DECODE_ERRORS:
        return None


def _read_objects(raw: msgspec.Raw) -> list[dict[str, msgspec.Raw]] | None:
    """Return the members of each item of a JSON array, None if it is not an array of at most `MAX_ARRAY_ITEMS` objects."""
    try:
        items = _ITEMS_DECODER.decode(raw)
    except DECODE_ERRORS:
        return None
    if len(items) > MAX_ARRAY_ITEMS:
        return None
    objects = [members for members in map(_read_members, items) if members is not None]
    return objects if len(objects) == len(items) else None


def _read_required_id(raw: msgspec.Raw | None, name: str) -> str:
    if raw is None:
        raise RejectedRecordError(f"{name} is missing", name)
    try:
        value = read_value("id", raw)
    except UnreadableValueError as error:
        raise RejectedRecordError(f"{name} {error}", name) from None
    if value is None:
        raise RejectedRecordError(f"{name} is empty", name)
    return str(value)


def _encode_object(members: Mapping[str, bytes]) -> str | None:
    """Return a JSON object of members whose values are JSON, with sorted keys; None if there are none."""
    if not members:
        return None
    inner = b",".join(msgspec.json.encode(key) + b":" + members[key] for key in sorted(members))
    return (b"{" + inner + b"}").decode()
