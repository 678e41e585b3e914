"""The limits on calls: Truto's two tiers, and the provider's behind an account.

What belongs here: counting calls within a stretch of time, and saying no. A call that was refused doesn't count.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Literal

from lms_pipeline.sandbox.http import too_many_for_provider, too_many_for_truto

if TYPE_CHECKING:
    from collections.abc import Callable

    from lms_pipeline.sandbox.wire.switches import Switches, Tier

TierName = Literal["token", "account", "provider"]


class Limits:
    """Knows the calls of late; one token is all there is, and every account has a provider of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: defaultdict[tuple[TierName, str | None], deque[float]] = defaultdict(deque)
        self.refused: Counter[TierName] = Counter()

    def check(self, switches: Switches, account_id: str | None, reach: TierName) -> dict[str, str]:
        """Let a call pass that counts in the tiers up to `reach`, and give the headers that its answer carries.

        Raises:
            Refusal: 429, where a tier is used up.
        """
        tiers: list[tuple[TierName, str | None, Tier | None]] = [
            ("token", None, switches.token_tier),
            ("account", account_id, switches.account_tier),
            ("provider", account_id, switches.provider_tier),
        ]
        met = tiers[: 1 + [name for name, _, _ in tiers].index(reach)]
        for name, key, tier in met:
            if tier is not None and len(self._late(name, key, tier)) >= tier.calls:
                self._refuse(name, key, tier)
        for name, key, tier in met:
            if tier is not None:
                self._calls[name, key].append(self._clock())
        if reach != "provider" or switches.provider_tier is None:
            return {}
        return self._headers(account_id, switches.provider_tier)

    def _refuse(self, name: TierName, key: str | None, tier: Tier) -> None:
        self.refused[name] += 1
        if name == "provider":
            raise too_many_for_provider(self._headers(key, tier))
        raise too_many_for_truto(tier.seconds)

    def _late(self, name: TierName, key: str | None, tier: Tier) -> deque[float]:
        """The calls that count now."""
        calls = self._calls[name, key]
        while calls and calls[0] <= self._clock() - tier.seconds:
            calls.popleft()
        return calls

    def _headers(self, account_id: str | None, tier: Tier) -> dict[str, str]:
        calls = self._late("provider", account_id, tier)
        reset = calls[0] + tier.seconds - self._clock() if calls else 0
        return {
            "ratelimit-limit": f"{tier.calls};w={tier.seconds}",
            "ratelimit-remaining": str(max(0, tier.calls - len(calls))),
            "ratelimit-reset": str(math.ceil(reset)),
        }
