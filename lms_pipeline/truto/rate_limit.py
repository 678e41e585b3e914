"""Limits on requests, shared by all processes with the same data directory.

Belongs here: counting calls, and waiting until a limit allows the next one. pyrate-limiter counts in SQLite under a
file lock, by real time even if LMS_NOW is set. Not here: which requests are worth a call (`extract/`).
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pyrate_limiter import Rate, RateItem, SQLiteBucket

from lms_pipeline.concurrency import wait
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.request import Request

HEADROOM = 0.9
"""Share of a limit that is used: the server's window is not ours, and requests arrive later than they were sent."""
WINDOW_SECONDS = 10
"""Window of Truto's two tiers."""
CLEANUP_INTERVAL = 1_000
"""Calls until those that no longer count are removed from the file again."""


class RateLimitStateError(LmsPipelineError):
    """The file of a limit can't be used."""


class RateLimitExceededError(Exception):
    """The limit allows no call before the deadline."""


class SharedRateLimiter:
    """Limits calls in any window of time, over all processes that use the same file.

    Args:
        path: the SQLite file.
        rates: calls per window; all of them hold.
        sleep: waits the given seconds.
    """

    def __init__(self, path: Path, rates: Sequence[Rate], sleep: Callable[[float], None] = wait) -> None:
        self._path = path
        with self._map_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._bucket = SQLiteBucket.init_from_file(list(rates), "calls", str(path), use_file_lock=True)
        self._sleep = sleep
        self._acquired = 0

    def acquire(self, deadline: float | None = None) -> None:
        """Count a call, after a wait for the limit to allow it; `deadline` is a time of `time.monotonic`.

        Raises:
            RateLimitExceededError: no call is allowed before the deadline.
            RateLimitStateError: the file can't be used.
        """
        while (seconds := self._try_acquire()) > 0:
            if deadline is not None and time.monotonic() + seconds > deadline:
                raise RateLimitExceededError
            self._sleep(seconds)

    def _try_acquire(self) -> float:
        """Count a call and return 0; if the limit allows none, return the seconds until it may."""
        with self._map_errors(), self._bucket.lock:
            item = RateItem("call", time.time_ns() // 1_000_000)
            if self._bucket.put(item):
                self._acquired += 1
                if self._acquired % CLEANUP_INTERVAL == 1:
                    self._bucket.leak(item.timestamp)
                return 0
            milliseconds = self._bucket.waiting(item)
        return max(1, int(str(milliseconds))) / 1_000

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RateLimitStateError(
                f"Calls can't be counted in {self._path}: {error}; make room, or remove the file if it is damaged."
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._bucket.close()  # type: ignore[no-untyped-call]


class ApiRateLimits:
    """A gate that keeps both of Truto's tiers, in calls per 10 s; 0 is no limit. Threads may share it."""

    def __init__(
        self, folder: Path, token: str, *, token_calls: int, account_calls: int, sleep: Callable[[float], None] = wait
    ) -> None:
        self._folder = folder
        self._token = token
        self._token_calls = token_calls
        self._account_calls = account_calls
        self._sleep = sleep
        self._limiters: dict[str, SharedRateLimiter] = {}
        self._lock = Lock()

    def __call__(self, request: Request) -> None:
        """Wait until the request may be sent; only requests that reach an LMS count for their account."""
        if self._account_calls and request.account_id and request.path.startswith("/unified/"):
            self._get_limiter("account", request.account_id, self._account_calls).acquire()
        if self._token_calls:
            self._get_limiter("token", self._token, self._token_calls).acquire()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for limiter in self._limiters.values():
                limiter.close()
            self._limiters.clear()

    def _get_limiter(self, tier: str, name: str, calls: int) -> SharedRateLimiter:
        """Return the limiter of a token or an account; its file bears a hash: tokens are secret, ids are untrusted."""
        file = f"{tier}-{hashlib.sha256(name.encode()).hexdigest()[:32]}.sqlite"
        with self._lock:
            if file not in self._limiters:
                rate = Rate(max(1, int(calls * HEADROOM)), WINDOW_SECONDS * 1_000)
                self._limiters[file] = SharedRateLimiter(self._folder / file, [rate], self._sleep)
            return self._limiters[file]
