"""Keeping to limits on calls, together with every other process of the machine.

What belongs here: slots that calls take before they are sent. The counting is pyrate-limiter's, in SQLite under a file
lock; what is worth a slot is `pull/`'s to say. Real time is used, whatever stands for the present.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from pyrate_limiter import Rate, RateItem, SQLiteBucket

from lms_pipeline.concurrency import wait
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.request import Request

HEADROOM = 0.9
"""Of a limit, what is used: the server's window is not ours, and calls arrive later than they were sent."""
WINDOW_SECONDS = 10
"""Of Truto's two tiers."""
_CLEANED_EVERY = 1_000
"""Calls, after which those that count no more are dropped from the file."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """Truto's limits in calls per 10 s; 0 is none."""

    token: int = 500
    account: int = 50


class RateLimitStateError(LmsPipelineError):
    """Calls can't be counted."""


class RateLimitExceededError(Exception):
    """There will be no slot before the deadline."""


class SharedRateLimiter:
    """At most so many calls in any stretch of time, over all processes that use the same file."""

    def __init__(self, path: Path, rates: Sequence[Rate], sleep: Callable[[float], None] = wait) -> None:
        self._path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._bucket = SQLiteBucket.init_from_file(
                list(rates), table="calls", db_path=str(path), use_file_lock=True
            )
        self._sleep = sleep
        self._taken = 0

    def take(self, deadline: float | None = None) -> None:
        """Wait for a slot and take it; `deadline` is one of `time.monotonic`.

        Raises:
            RateLimitExceededError: there is none until then.
            RateLimitStateError: the file can't be used.
        """
        while (left := self._try()) > 0:
            if deadline is not None and time.monotonic() + left > deadline:
                raise RateLimitExceededError
            self._sleep(left)

    def _try(self) -> float:
        """Take a slot, if there is one; else the seconds until there may be."""
        with self._errors(), self._bucket.lock:
            item = RateItem("call", time.time_ns() // 1_000_000)
            if self._bucket.put(item):
                self._taken += 1
                if self._taken % _CLEANED_EVERY == 1:
                    self._bucket.leak(item.timestamp)
                return 0
            waiting = self._bucket.waiting(item)
        return max(1, int(str(waiting))) / 1_000

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RateLimitStateError(
                f"Calls can't be counted in {self._path}: {error}; make room, or remove the file where it is damaged."
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._bucket.close()  # type: ignore[no-untyped-call]


class ApiRateLimits:
    """A gate that keeps to both of Truto's tiers; threads may share it."""

    def __init__(self, folder: Path, token: str, tiers: Tiers, sleep: Callable[[float], None] = wait) -> None:
        self._folder = folder
        self._token = token
        self._tiers = tiers
        self._sleep = sleep
        self._slots: dict[str, SharedRateLimiter] = {}
        self._lock = Lock()

    def __call__(self, request: Request) -> None:
        """Wait until the request may be sent."""
        if self._tiers.account and request.account_id and request.path.startswith("/unified/"):
            self._of("account", request.account_id, self._tiers.account).take()
        if self._tiers.token:
            self._of("token", self._token, self._tiers.token).take()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for slots in self._slots.values():
                slots.close()
            self._slots.clear()

    def _of(self, tier: str, name: str, calls: int) -> SharedRateLimiter:
        """The slots of a token or an account, whose names become no path: one is secret, the other from outside."""
        file = f"{tier}-{hashlib.sha256(name.encode()).hexdigest()[:32]}.sqlite"
        with self._lock:
            if file not in self._slots:
                rate = Rate(max(1, int(calls * HEADROOM)), WINDOW_SECONDS * 1_000)
                self._slots[file] = SharedRateLimiter(self._folder / file, [rate], self._sleep)
            return self._slots[file]
