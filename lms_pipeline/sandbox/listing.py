"""Lists of records that are read piece by piece.

What belongs here: reading a stretch of a list lazily. Cursors and envelopes are the server's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lms_pipeline.sandbox.world import Record


class Stretch(NamedTuple):
    """Some records that follow each other, and where the next one stands, if there is one."""

    records: list[Record]
    next_position: int | None


class Listing:
    """The records that `record_of(0)`, ..., `record_of(length - 1)` give, leaving out those that are None.

    A record is made when it is served, and no list is built for a page. Worlds that leave out what isn't there,
    instead of closing the gap, keep positions as they are when the clock moves in the middle of a sweep.
    """

    def __init__(self, length: int, record_of: Callable[[int], Record | None]) -> None:
        self._length = length
        self._record_of = record_of

    @classmethod
    def of(cls, records: Sequence[Record]) -> Listing:
        """A list whose records are there already."""
        return cls(len(records), records.__getitem__)

    def where(self, is_told: Callable[[Record], bool]) -> Listing:
        """The records of this list that are told, at the places where they are."""

        def record_of(position: int) -> Record | None:
            record = self._record_of(position)
            return record if record is not None and is_told(record) else None

        return Listing(self._length, record_of)

    def read(self, start: int, limit: int) -> Stretch:
        """At most `limit` records from the position `start` on."""
        records: list[Record] = []
        for position in range(start, self._length):
            record = self._record_of(position)
            if record is None:
                continue
            if len(records) == limit:
                return Stretch(records, position)
            records.append(record)
        return Stretch(records, None)
