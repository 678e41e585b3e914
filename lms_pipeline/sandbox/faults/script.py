"""The scripted faults, and which of them strike a request, by count and rate."""

from __future__ import annotations

from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lms_pipeline.sandbox.faults.fault import Fault
    from lms_pipeline.sandbox.http import Request


class _Entry:
    def __init__(self, fault: Fault, seed: int) -> None:
        self.fault = fault
        self.random = Random(seed)  # noqa: S311 - a rate, not a secret
        self.met = 0
        self.struck = 0

    def count_request(self) -> bool:
        """Count a matching request, and return whether the fault strikes it."""
        self.met += 1
        fault = self.fault
        if self.met <= fault.after or self.struck == fault.times:
            return False
        if fault.rate < 1 and self.random.random() >= fault.rate:
            return False
        self.struck += 1
        return True


class Script:
    """Faults in the order in which they were added; safe for threads."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._entries: list[_Entry] = []
        self._lock = Lock()

    def add(self, faults: Sequence[Fault]) -> None:
        """Add faults. Each has a random generator of its own, so that it doesn't depend on the others."""
        with self._lock:
            self._entries += [_Entry(fault, self._seed) for fault in faults]

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._entries = []

    def strike(self, request: Request) -> list[Fault]:
        """Return the faults that strike a request; call it once for each request."""
        with self._lock:
            matching = [entry for entry in self._entries if entry.fault.matches(request)]
            return [entry.fault for entry in matching if entry.count_request()]

    def report(self) -> list[dict[str, Any]]:
        """Return each fault with the number of requests that it matched and struck."""
        with self._lock:
            return [
                {**msgspec.to_builtins(entry.fault), "met": entry.met, "struck": entry.struck}
                for entry in self._entries
            ]
