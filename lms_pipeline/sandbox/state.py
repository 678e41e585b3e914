"""State of a running sandbox: clock, switches, rate limits, scripted faults, and the log of requests.

Belongs here: what tests and people change or read while it runs. Not here: the data, which is the world's.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from pyrate_limiter import InMemoryBucket, Rate, RateItem

from lms_pipeline.sandbox.faults.fault import LISTS
from lms_pipeline.sandbox.faults.script import Script
from lms_pipeline.sandbox.http import Refusal, remote_error
from lms_pipeline.sandbox.world import SandboxError, convert_to_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lms_pipeline.sandbox.connections import Connections
    from lms_pipeline.sandbox.faults.fault import Fault
    from lms_pipeline.sandbox.http import Request

MAX_LOGGED_REQUESTS = 1_000
TierName = Literal["token", "account", "provider"]


class Clock:
    """The present of the sandbox: a fixed instant, or the real time."""

    def __init__(self, fixed: datetime | None = None) -> None:
        self.set(fixed)

    def now(self) -> datetime:
        """Return the present in UTC."""
        return self._fixed or datetime.now(UTC)

    @property
    def is_fixed(self) -> bool:
        """Whether it stands at a fixed instant."""
        return self._fixed is not None

    def set(self, instant: datetime | None) -> None:
        """Stop at `instant`, which is UTC if it is naive; None follows the real time."""
        self._fixed = None if instant is None else convert_to_utc(instant)


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate limit: at most `calls` in any window of `seconds`."""

    calls: Annotated[int, msgspec.Meta(ge=1)]
    seconds: Annotated[int, msgspec.Meta(ge=1)] = 10


TRUTO_TOKEN_TIER = Tier(500)
TRUTO_ACCOUNT_TIER = Tier(50)


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Behaviours of the real API that are unknown, or depend on the plan or the provider."""

    token_tier: Tier | None = None
    """Truto's limit for a token over all accounts; the real one is 500 calls in 10 s."""
    account_tier: Tier | None = None
    """Truto's limit for an integrated account; the real one is 50 calls in 10 s."""
    provider_tier: Tier | None = None
    """The limit of the LMS behind each account. If it is set, responses carry `ratelimit-*` headers."""
    accounts_under: Literal["result", "results"] = "result"
    """The key of the list in `GET /integrated-account`."""
    raw_body: Literal["envelope", "bare"] = "envelope"
    """Whether a raw list is `{"result": [...], "next_cursor": ...}`, or the provider's array without an envelope."""
    raw_pair: Literal["bare", "envelope"] = "bare"
    """Whether the raw body about a pair is the provider's object, or a list of it in an envelope."""
    not_enrolled: Literal[400, 404] = 404
    """The provider's status for a pair that doesn't exist."""


class RateLimits:
    """Counts calls by tier and account, and refuses those beyond a limit; refused calls don't count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[TierName, str | None], InMemoryBucket] = {}
        self.refused: Counter[TierName] = Counter()

    def check(self, switches: Switches, account_id: str | None, last_tier: TierName) -> dict[str, str]:
        """Count a call in the tiers up to `last_tier`, and return the headers of its response.

        Raises:
            Refusal: 429 if one of the tiers is used up.
        """
        now = int(self._clock() * 1_000)
        tiers: dict[TierName, Tier | None] = {
            "token": switches.token_tier,
            "account": switches.account_tier,
            "provider": switches.provider_tier,
        }
        headers: dict[str, str] = {}
        buckets = []
        for name in list(tiers)[: list(tiers).index(last_tier) + 1]:
            if (tier := tiers[name]) is not None:
                bucket = self._find_bucket((name, None if name == "token" else account_id), tier, now)
                if bucket.count() >= tier.calls:
                    self.refused[name] += 1
                    raise _too_many_requests(name, tier, bucket, now)
                buckets.append(bucket)
        for bucket in buckets:
            bucket.put(RateItem("call", now))
        if last_tier == "provider" and switches.provider_tier is not None:
            headers = _provider_headers(switches.provider_tier, buckets[-1], now)
        return headers

    def _find_bucket(self, key: tuple[TierName, str | None], tier: Tier, now: int) -> InMemoryBucket:
        """Return the calls that count now. The library's window includes both ends, hence one millisecond less."""
        rates = [Rate(tier.calls, tier.seconds * 1_000 - 1)]
        bucket = self._buckets.setdefault(key, InMemoryBucket(rates))
        bucket.rates = rates
        bucket.leak(now)
        return bucket


def _too_many_requests(name: TierName, tier: Tier, bucket: InMemoryBucket, now: int) -> Refusal:
    if name == "provider":
        return remote_error(429, "API rate limit exceeded", headers=_provider_headers(tier, bucket, now))
    return Refusal(429, "Too many requests", headers={"retry-after": str(tier.seconds)})


def _provider_headers(tier: Tier, bucket: InMemoryBucket, now: int) -> dict[str, str]:
    oldest = bucket.peek(bucket.count() - 1)
    reset = 0 if oldest is None else oldest.timestamp + tier.seconds * 1_000 - now
    return {
        "ratelimit-limit": f"{tier.calls};w={tier.seconds}",
        "ratelimit-remaining": str(max(0, tier.calls - bucket.count())),
        "ratelimit-reset": str(math.ceil(reset / 1_000)),
    }


class LoggedRequest(msgspec.Struct, frozen=True):
    """A request, the status of its response, and the faults that struck it."""

    method: str
    path: str
    query: list[tuple[str, str]]
    """Decoded, in its order."""
    status: int
    faults: list[str]


class RequestLog:
    """Counts of all requests, and the last ones in full; safe for threads."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str | None, str]] = Counter()
        self._last: deque[LoggedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)
        self._lock = Lock()

    def add(self, request: Request, status: int, faults: Iterable[str]) -> None:
        """Log a request, the status of its response, and the names of the faults that struck it."""
        query = request.query_params.multi_items()
        with self._lock:
            self._counts[request.account_id, f"{request.method} {request.route}"] += 1
            self._last.append(LoggedRequest(request.method, request.path, query, status, list(faults)))

    def read_last(self, count: int) -> list[LoggedRequest]:
        """Return the last requests, the newest at the end."""
        with self._lock:
            last = list(self._last)
        return last[len(last) - min(count, len(last)) :]

    def count(self) -> dict[str, Any]:
        """Return the number of requests by account and route."""
        with self._lock:
            counts = dict(self._counts)
        requests: dict[str, dict[str, int]] = {}
        without_account: dict[str, int] = {}
        for (account_id, route), number in counts.items():
            routes = without_account if account_id is None else requests.setdefault(account_id, {})
            routes[route] = number
        return {"requests": requests, "without_account": without_account, "total": sum(counts.values())}

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._counts.clear()
            self._last.clear()


@dataclass(repr=False, eq=False)
class RunningSandbox:
    """A running sandbox: its address, and everything that can change while it runs."""

    token: str
    connections: Connections
    clock: Clock = field(default_factory=Clock)
    switches: Switches = field(default_factory=Switches)
    script: Script = field(default_factory=Script)
    limits: RateLimits = field(default_factory=RateLimits)
    log: RequestLog = field(default_factory=RequestLog)
    routes: set[str] = field(default_factory=set)
    """The routes of the API, with placeholders for ids."""
    url: str = ""
    """Set when the port is open."""

    def set_clock(self, instant: datetime | None) -> None:
        """Stop the clock at `instant`; None follows the real time."""
        self.clock.set(instant)

    def switch(self, switches: Switches) -> None:
        """Replace the switches."""
        self.switches = switches

    def fault(self, *faults: Fault) -> None:
        """Add faults.

        Raises:
            SandboxError: a fault names an unknown account or route, and could never strike.
        """
        self._check_faults(faults)
        self.script.add(faults)

    def replace_faults(self, faults: Sequence[Fault]) -> None:
        """Clear the faults and add these; raises as `fault`, and then changes nothing."""
        self._check_faults(faults)
        self.clear_faults()
        self.script.add(faults)

    def clear_faults(self) -> None:
        """Remove all faults, and undo their revocations."""
        self.script.clear()
        self.connections.restore()

    def faults(self) -> list[dict[str, Any]]:
        """Return each fault with the number of requests that it matched and struck."""
        return self.script.report()

    def requests(self, last: int = MAX_LOGGED_REQUESTS) -> list[LoggedRequest]:
        """Return the last requests, the newest at the end."""
        return self.log.read_last(last)

    def stats(self) -> dict[str, Any]:
        """Return the number of requests by account and route, and of those that each limit refused."""
        return {**self.log.count(), "limited": dict(self.limits.refused)}

    def clear_counts(self) -> None:
        """Forget all requests and refusals."""
        self.log.clear()
        self.limits.refused.clear()

    def _check_faults(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            if fault.account is not None and self.connections.find_account(fault.account) is None:
                known = ", ".join(account.id for account in self.connections.accounts)
                raise SandboxError(f"There is no account {fault.account} for the fault {fault.kind}: {known}.")
            if fault.route is None:
                continue
            if not any(_covers(route, fault.route) for route in self.routes):
                known = ", ".join(sorted(self.routes))
                raise SandboxError(f"There is no route {fault.route} for the fault {fault.kind}: {known}.")
            if fault.only_in_lists and fault.route not in LISTS:
                known = ", ".join(sorted(LISTS))
                raise SandboxError(
                    f"The fault {fault.kind} strikes only lists, and {fault.route} is not one of {known}."
                )


def _covers(route: str, path: str) -> bool:
    """Return whether a path is the route itself, or the route with ids in place of its placeholders."""
    pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(route))
    return route == path or re.fullmatch(pattern, path) is not None
