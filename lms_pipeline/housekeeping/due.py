"""What is due to be removed, and how that is told.

What belongs here: plain data between who plans and who removes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lms_pipeline.lake.disk import size_told
from lms_pipeline.lake.paths import Partition

Kind = Literal[
    "answers",
    "details",
    "rejected payloads",
    "unpublished files",
    "folders of pulls",
    "call counters",
    "run logs",
]


@dataclass(frozen=True, slots=True)
class Due:
    """A file or folder that is past its time; of `rejected payloads` the file stays, without them."""

    kind: Kind
    path: Path
    bytes: int
    """What is gained."""
    partition: Partition | None = None
    """Whose it is, where it takes the lock of its pull to touch it."""

    def __str__(self) -> str:
        """For lists."""
        return f"{self.kind}: {self.path} ({size_told(self.bytes)})"


def totals(due: Iterable[Due]) -> dict[Kind, tuple[int, int]]:
    """How many there are of each kind, and their bytes."""
    counts: Counter[Kind] = Counter()
    sizes: Counter[Kind] = Counter()
    for one in due:
        counts[one.kind] += 1
        sizes[one.kind] += one.bytes
    return {kind: (count, sizes[kind]) for kind, count in counts.items()}


def totals_told(due: Iterable[Due]) -> str:
    """As `31 answers (1.2 MB), 2 details (14.0 KB)`."""
    told = [f"{count:,} {kind} ({size_told(size)})" for kind, (count, size) in totals(due).items()]
    return ", ".join(told) or "nothing"
