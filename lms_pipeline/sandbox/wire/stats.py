"""How many requests were served, by account and route.

What belongs here: counting. Every request is counted, the refused ones too, but for those to `/_sandbox`.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Any


class Stats:
    """Counts that one thread may add to while another reads them."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str | None, str]] = Counter()
        self._lock = Lock()

    def count(self, account_id: str | None, route: str) -> None:
        """Count a request to `route`; the account is None where the request names none."""
        with self._lock:
            self._counts[account_id, route] += 1

    def clear(self) -> None:
        """Begin at nothing again."""
        with self._lock:
            self._counts.clear()

    def told(self) -> dict[str, Any]:
        """The body of `GET /_sandbox/stats`."""
        with self._lock:
            counts = dict(self._counts)
        requests: dict[str, dict[str, int]] = {}
        without_account: dict[str, int] = {}
        for (account_id, route), times in counts.items():
            routes = without_account if account_id is None else requests.setdefault(account_id, {})
            routes[route] = times
        return {"requests": requests, "without_account": without_account, "total": sum(counts.values())}
