"""Notes of pulls: JSON in the state, by account and day, for the next run of them.

Belongs here: storing, reading and finding them. Not here: what they say (`waiting.py`, `stopped.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import msgspec

from lms_pipeline.lake.paths import DataDir, DayPartition, Partition, parse_folder
from lms_pipeline.storage.state import decode_note

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone."""


class PullNote(msgspec.Struct, frozen=True, kw_only=True):
    """A note about the pull of an account and day."""

    account_id: str
    day: date

    @property
    def partition(self) -> Partition:
        """Account and day."""
        return Partition(self.account_id, self.day)


N = TypeVar("N", bound=PullNote)


@dataclass(frozen=True, slots=True)
class NoteFile(Generic[N]):
    """One kind of note. A damaged one counts as none: it costs nothing to lose."""

    name: str
    kind: type[N]

    def build_name(self, data: DataDir, partition: Partition) -> str:
        """Return the name of a partition's note in the state."""
        return data.get_note(data.pull_folder(partition) / self.name)

    def save(self, data: DataDir, note: N) -> None:
        """Store a note. The caller holds the partition's lock.

        Raises:
            LakeError, StateError: it can't be written.
        """
        data.storage.state.write_note(self.build_name(data, note.partition), msgspec.json.encode(note))

    def read(self, data: DataDir, partition: Partition) -> N | None:
        """Return the note of a partition; None if there is none, or it is about another one."""
        content = data.storage.state.read_note(self.build_name(data, partition))
        return None if content is None else self._decode(content, partition)

    def _decode(self, content: bytes, partition: Partition) -> N | None:
        note = decode_note(content, self.kind)
        is_own = note is not None and (note.account_id, note.day) == (partition.account_id, partition.day)
        return note if is_own else None

    def find(self, data: DataDir, day: date | None = None) -> Iterator[N]:
        """Yield the notes by account and day, of one day or of all that housekeeping has not removed.

        For one day no folder of another day is looked at.
        """
        folder = "*" if day is None else DayPartition(day).folder
        for name, content in data.storage.state.find_notes(f"{data.pulls.name}/*/{folder}/{self.name}"):
            partition = parse_folder(Path(*Path(name).parts[1:-1]))
            note = None if partition is None else self._decode(content, partition)
            if note is not None:
                yield note
