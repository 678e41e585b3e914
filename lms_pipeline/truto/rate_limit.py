"""Truto's limits on requests, of a token and of an account, shared by all processes of an installation.

Belongs here: which limits a request counts for. Not here: how they are kept (`storage/rate_limit.py`), and which requests
are worth a call (`extract/`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock

from lms_pipeline.concurrency import wait
from lms_pipeline.storage.rate_limit import RateLimit, RateLimiter
from lms_pipeline.storage.state import State
from lms_pipeline.truto.request import Request

HEADROOM = 0.9
"""Share of a limit that is used: the server's window is not ours, and requests arrive later than they were sent."""
WINDOW_SECONDS = 10
"""Window of Truto's two tiers."""
TOKEN_PARTS = 30
"""Parts of the window over which the calls of a token are spread: 15 of 450 calls may come at once."""


class ApiRateLimits:
    """A gate that keeps both of Truto's tiers, in calls per 10 s; 0 is no limit. Threads may share it.

    Many runs share a token: its calls are spread over the window. An account has one run, which may begin with all of them.
    """

    def __init__(
        self, state: State, token: str, *, token_calls: int, account_calls: int, sleep: Callable[[float], None] = wait
    ) -> None:
        self._state = state
        self._token = token
        self._token_calls = token_calls
        self._account_calls = account_calls
        self._sleep = sleep
        self._limiters: dict[str, RateLimiter] = {}
        self._lock = Lock()

    def __call__(self, request: Request) -> None:
        """Wait until the request may be sent; only requests that reach an LMS count for their account."""
        if self._account_calls and request.account_id and request.path.startswith("/unified/"):
            self._get_limiter("account", request.account_id, self._account_calls).acquire()
        if self._token_calls:
            self._get_limiter("token", self._token, self._token_calls).acquire()

    def close(self) -> None:
        """Close the limiters."""
        with self._lock:
            for limiter in self._limiters.values():
                limiter.close()
            self._limiters.clear()

    def _get_limiter(self, tier: str, name: str, calls: int) -> RateLimiter:
        """Return the limiter of a token or an account; its name has a hash: tokens are secret, ids are untrusted."""
        key = f"{tier}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        with self._lock:
            if key not in self._limiters:
                allowed = max(1, int(calls * HEADROOM))
                subject = f"Truto allows {calls} calls in 10 s per {tier}"
                limit = RateLimit(allowed, WINDOW_SECONDS, subject, parts=TOKEN_PARTS if tier == "token" else 1)
                self._limiters[key] = self._state.open_limiter(key, limit, self._sleep)
            return self._limiters[key]
