"""What was asked of late, request by request.

What belongs here: remembering requests, for who wants to see what a pipeline really sent. How many there were is
`stats.py`.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from lms_pipeline.sandbox.wire.asked import Asked

REMEMBERED = 1_000


class Entry(msgspec.Struct, frozen=True):
    """A request and the status that it was answered with."""

    method: str
    path: str
    query: list[tuple[str, str]]
    """Decoded, in the order in which it came."""
    status: int
    faults: list[str]
    """The faults that struck it."""


class Journal:
    """The last requests; one thread may add to it while another reads."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Asked, int, list[str]]] = deque(maxlen=REMEMBERED)
        self._lock = Lock()

    def note(self, asked: Asked, status: int) -> None:
        """Remember a request."""
        with self._lock:
            self._entries.append((asked, status, [fault.kind for fault in asked.faults]))

    def last(self, count: int = REMEMBERED) -> list[Entry]:
        """The last requests, the newest at the end."""
        with self._lock:
            entries = list(self._entries)
        return [
            Entry(
                asked.method,
                asked.path,
                parse_qsl(asked.query_string, keep_blank_values=True),
                status,
                faults,
            )
            for asked, status, faults in entries[len(entries) - min(count, len(entries)) :]
        ]

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._entries.clear()
