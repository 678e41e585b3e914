"""Pauses that a server asks for, kept by everybody who asks for the same account.

What belongs here: waiting. How long is `waits.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from lms_pipeline.concurrency import wait


class Pauses:
    """Until when each account is left alone; shared by the threads of a process."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = wait
    ) -> None:
        self._clock = clock
        self.sleep = sleep
        self._until: dict[str | None, float] = {}
        self._lock = Lock()

    def pause(self, account_id: str | None, seconds: float) -> None:
        """Leave the account alone for so long; a longer pause that is on already stays."""
        with self._lock:
            self._until[account_id] = max(self._until.get(account_id, 0), self._clock() + seconds)

    def keep(self, account_id: str | None) -> None:
        """Wait until the account may be asked; others may prolong the pause meanwhile."""
        while (left := self._left(account_id)) > 0:
            self.sleep(left)

    def _left(self, account_id: str | None) -> float:
        with self._lock:
            return self._until.get(account_id, 0) - self._clock()
