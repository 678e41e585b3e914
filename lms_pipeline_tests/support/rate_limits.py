"""Rate limits on clocks that a test sets."""

from __future__ import annotations

from pathlib import Path

from lms_pipeline.storage.file_rate_limit import Clocks, FileRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit

WINDOW = 60.0
"""Seconds of the limits."""


class SetClock:
    """A machine whose clocks a test sets."""

    def __init__(self) -> None:
        self.boot = 1_000.0
        self.wall = 1_800_000_000.0
        self.boot_id = "first"

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.boot, lambda: self.wall, lambda: self.boot_id)

    def advance(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds

    def restart(self, after: float, wall_step: float = 0) -> None:
        self.boot, self.wall, self.boot_id = 5.0, self.wall + after + wall_step, f"after {self.boot_id}"


def build_limiter(
    path: Path, calls: int, clock: SetClock | None = None, waits: list[float] | None = None
) -> FileRateLimiter:
    sleep = (lambda _seconds: None) if waits is None else waits.append
    return FileRateLimiter(path, RateLimit(calls, WINDOW, "the test"), sleep, clock.clocks if clock else None)
