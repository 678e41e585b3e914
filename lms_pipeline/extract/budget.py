"""The calls that a snapshot may cost: per hour, in all, and for how long.

What belongs here: counting and refusing. Which calls are worth it is `plan.py`; the machine-wide limits are
`truto/pacing.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pyrate_limiter import Rate

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.concurrency import wait
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.truto.rate_limit import HEADROOM, RateLimitExceededError, SharedRateLimiter
from lms_pipeline.truto.request import Request

HOUR_MS = 3_600_000


class BudgetSpentError(LmsPipelineError):
    """No more calls for this snapshot; what was answered so far is kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may be asked for one snapshot; None is no limit."""

    per_hour: int | None = None
    per_snapshot: int | None = None
    hours: float = 6
    per_10s: float | None = None
    """Truto's tier for an account, as far as it is used; it is kept by the client."""

    @classmethod
    def of(cls, options: AccountOptions, integration: str, calls_per_10s: int) -> Limits:
        """Those of an account; a TalentLMS portal has 2,000 calls an hour unless told otherwise."""
        usual = TALENTLMS_PER_HOUR if integration == "talentlms" else None
        per_hour = usual if options.calls_per_hour is None else options.calls_per_hour or None
        per_10s = calls_per_10s * HEADROOM or None
        return cls(per_hour, options.calls_per_snapshot, options.max_hours, per_10s)

    def seconds_for(self, calls: int, workers: int) -> float:
        """About how long so many calls take, when nobody else asks."""
        asking = calls * (10 / self.per_10s if self.per_10s else USUAL_SECONDS / workers)
        waiting = (calls - 1) // self.per_hour * 3_600 if self.per_hour and calls else 0
        return max(asking, waiting)


USUAL_SECONDS = 0.4
"""Of a call that passes through to an LMS: a guess, where no limit says more."""
TALENTLMS_PER_HOUR = 2_000
"""Of TalentLMS's smaller plans; the larger ones have 10,000."""


class Budget:
    """A gate that counts the calls of one snapshot, over all processes that worked on it, and stops them in time."""

    def __init__(
        self,
        account_id: str,
        limits: Limits,
        attempt: Attempt,
        file: Path,
        sleep: Callable[[float], None] = wait,
    ) -> None:
        self._account_id = account_id
        self.limits = limits
        self._attempt = attempt
        self._deadline = time.monotonic() + limits.hours * 3_600
        hour = [Rate(limits.per_hour, HOUR_MS)] if limits.per_hour else []
        self._slots = SharedRateLimiter(file, hour, sleep) if hour else None

    def __call__(self, request: Request) -> None:  # noqa: ARG002 - every request costs the same
        """Let a request pass.

        Raises:
            BudgetSpentError: there is no call left for it.
        """
        if not self._attempt.count_request(self.limits.per_snapshot):
            raise BudgetSpentError(
                f"The {self.limits.per_snapshot} calls that a snapshot of {self._account_id} may cost are used up: "
                "raise calls_per_snapshot for it in LMS_ACCOUNTS_FILE."
            )
        with ExitStack() as unless_it_passes:
            unless_it_passes.callback(self._attempt.uncount_request)
            self._wait()
            unless_it_passes.pop_all()

    def _wait(self) -> None:
        if self._slots is None:
            if time.monotonic() > self._deadline:
                raise self._late()
            return
        try:
            self._slots.acquire(self._deadline)
        except RateLimitExceededError:
            raise self._late() from None

    def close(self) -> None:
        """Close the file."""
        if self._slots is not None:
            self._slots.close()

    def _late(self) -> BudgetSpentError:
        return BudgetSpentError(
            f"The {self.limits.hours:g} hours that a snapshot of {self._account_id} may take are over: "
            "raise max_hours or calls_per_hour, or run it again to go on where it was left off."
        )
