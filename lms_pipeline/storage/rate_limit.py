"""Limits on calls that processes share: the calls of a window, and the protocol of what keeps them.

Belongs here: the limit, its error, and the wait for a reserved time. Not here: the implementations (`file_rate_limit.py`,
`postgres_rate_limit.py`), and which calls count (`truto/rate_limit.py`, `extract/budget.py`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)

MIN_LOGGED_WAIT_SECONDS = 5.0
"""Shorter waits are ordinary, and not worth a line in the log."""


class RateLimitExceededError(Exception):
    """The limit allows no call before the deadline."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        """Time until it allows one, as far as is known now."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A number of calls in any window of time."""

    calls: int
    window_seconds: float
    subject: str
    """What the limit is, for the log."""
    parts: int = 1
    """Over how many equal parts of a window the calls are spread: a process that is faster than the others gets one part
    of them at most before the others get any."""

    @property
    def windows(self) -> tuple[tuple[int, float], ...]:
        """The calls and seconds of each window that is kept: the whole one, and a part of it."""
        whole, of_part = (self.calls, self.window_seconds), max(1, self.calls // self.parts)
        return (whole,) if of_part == self.calls else (whole, (of_part, self.window_seconds * of_part / self.calls))

    @property
    def gap_seconds(self) -> float:
        """The time between two calls with which they are spread evenly; 0 if all of a window may come at once."""
        return self.window_seconds / self.calls if self.parts > 1 else 0.0

    def log_wait(self, seconds: float) -> None:
        """Log a wait for this limit, unless it is short."""
        if seconds >= MIN_LOGGED_WAIT_SECONDS:
            log.info("Waiting %.0f s: %s.", seconds, self.subject)


class RateLimiter(Protocol):
    """Keeps a limit over all processes that use the same one."""

    def acquire(self, deadline: float | None = None) -> None:
        """Count a call, after a wait for the limit to allow it; `deadline` is a time of `time.monotonic`.

        Raises:
            RateLimitExceededError: no call is allowed before the deadline; nothing is counted.
            StateError: calls can't be counted.
        """

    def close(self) -> None:
        """Close what is open, after other threads have finished with it."""
