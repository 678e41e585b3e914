"""The faults that are to come, and which of them a request meets.

What belongs here: counting and drawing, and reading faults from JSON. What a fault does is its own.
"""

from __future__ import annotations

from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from lms_pipeline.sandbox.faults.pages import (
    Drift,
    EmptyPage,
    Endless,
    Partial,
    RepeatedCursor,
    ShiftedPage,
)
from lms_pipeline.sandbox.faults.refusing import ExpiredCursor, RevokedConnection, RevokedToken, Status
from lms_pipeline.sandbox.faults.responses import Cut, GzipBomb, Reset, Slow
from lms_pipeline.sandbox.faults.spoiling import BadUtf8, Debug, Html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lms_pipeline.sandbox.faults.fault import Fault
    from lms_pipeline.sandbox.wire.asked import Asked

AnyFault = (
    Status
    | RevokedToken
    | RevokedConnection
    | ExpiredCursor
    | RepeatedCursor
    | EmptyPage
    | ShiftedPage
    | Endless
    | Partial
    | Drift
    | Html
    | BadUtf8
    | Debug
    | Slow
    | Cut
    | Reset
    | GzipBomb
)
"""All that can be scripted; `{"fault": "shifted_page", ...}` in JSON."""


class _Entry:
    def __init__(self, fault: Fault, seed: int) -> None:
        self.fault = fault
        self.draw = Random(seed)  # noqa: S311 - a rate, not a secret
        self.met = 0
        self.struck = 0


class Script:
    """Faults in the order in which they were scripted; one thread may script while another meets them."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._entries: list[_Entry] = []
        self._lock = Lock()

    def add(self, faults: Sequence[Fault]) -> None:
        """Script more faults."""
        with self._lock:
            self._entries += self._new(faults)

    def replace(self, faults: Sequence[Fault]) -> None:
        """Script these faults alone."""
        with self._lock:
            self._entries = self._new(faults)

    def due(self, asked: Asked) -> list[Fault]:
        """The faults that strike this request; to be called once for each request."""
        with self._lock:
            concerned = [entry for entry in self._entries if entry.fault.concerns(asked)]
            return [entry.fault for entry in concerned if self._strikes(entry)]

    def told(self) -> list[dict[str, Any]]:
        """Each fault, how many requests it was about, and how many it struck."""
        with self._lock:
            return [
                {**msgspec.to_builtins(entry.fault), "met": entry.met, "struck": entry.struck}
                for entry in self._entries
            ]

    def _new(self, faults: Sequence[Fault]) -> list[_Entry]:
        """Each draws for itself, so that what one strikes doesn't hang on the others."""
        return [_Entry(fault, self._seed) for fault in faults]

    def _strikes(self, entry: _Entry) -> bool:
        entry.met += 1
        fault = entry.fault
        if entry.met <= fault.after or entry.struck == fault.times:
            return False
        if fault.rate < 1 and entry.draw.random() >= fault.rate:
            return False
        entry.struck += 1
        return True
