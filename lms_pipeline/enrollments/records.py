"""Reading the records of one list: the fast way where they fit, the lenient way where they don't.

What belongs here: choosing the way, and counting. The two ways are `structs.py` and `lenient.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec

from lms_pipeline.enrollments.structs import NOT_READ, Node, Path, can_be_learned, learned_values, node
from lms_pipeline.transform.coerce import is_in_calendar
from lms_pipeline.transform.reader import LenientReader
from lms_pipeline.transform.shapes import Shape

MOST_LEARNED_KEYS = 200
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
        if learned == known or sum(map(len, learned.values())) > MOST_LEARNED_KEYS:
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
