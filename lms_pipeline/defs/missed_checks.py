"""How many checks must find nothing of a run before it has failed.

Belongs here: counting them. Not here: the checks (`launching.py`, `launching_celery.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

MIN_MISSES = 3
"""Checks in a row that must find nothing of a run before the run has failed."""
MIN_MISSED_SECONDS = 60.0
"""Time that these checks must span at least."""
MAX_FORGOTTEN_SECONDS = 3_600.0
"""Time after which a run that is not checked any more is forgotten: it has ended."""


class _Misses(NamedTuple):
    number: int
    since: float
    latest: float


class MissedChecks:
    """Counts for each run the checks in a row that found nothing of it, by the id of its run or task."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._misses: dict[str, _Misses] = {}

    def forget(self, run: str) -> None:
        """Forget the misses of a run."""
        self._misses.pop(run, None)

    def add(self, run: str) -> bool:
        """Count a miss, and return whether there are enough over a long enough time."""
        now = self._clock()
        for other in [one for one, misses in self._misses.items() if now - misses.latest > MAX_FORGOTTEN_SECONDS]:
            del self._misses[other]
        number, since, _ = self._misses.get(run, _Misses(0, now, now))
        misses = self._misses[run] = _Misses(number + 1, since, now)
        return misses.number >= MIN_MISSES and now - since >= MIN_MISSED_SECONDS
