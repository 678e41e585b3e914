"""The budget of a snapshot: calls per hour, calls in all, and hours.

Belongs here: counting calls and stopping them in time. Not here: which calls are worth it (`plan.py`), the rate limits
of the API (`truto/rate_limit.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.concurrency import wait
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.storage.rate_limit import RateLimit, RateLimiter, RateLimitExceededError
from lms_pipeline.storage.state import State
from lms_pipeline.truto.rate_limit import HEADROOM
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.waiting import MAX_HELD_WAIT_SECONDS, ContinuesLaterError

HOUR_SECONDS = 3_600
SECONDS_PER_CALL = 0.4
"""Seconds of a call that reaches the LMS, a guess for accounts without a limit."""
TALENTLMS_CALLS_PER_HOUR = 2_000
"""Calls per hour in TalentLMS's smaller plans; the larger ones have 10,000."""


class BudgetSpentError(LmsPipelineError):
    """No call is left for this snapshot; the responses so far are stored."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one snapshot of an account; None is no limit."""

    per_hour: int | None = None
    per_snapshot: int | None = None
    hours: float = 6
    per_10s: float | None = None
    """Calls in 10 seconds that the client allows for an account."""

    @classmethod
    def of(cls, options: AccountOptions, integration: str, calls_per_10s: int) -> Limits:
        """Return the limits of an account. A TalentLMS portal has 2,000 calls an hour by default."""
        default = TALENTLMS_CALLS_PER_HOUR if integration == "talentlms" else None
        per_hour = default if options.calls_per_hour is None else options.calls_per_hour or None
        per_10s = calls_per_10s * HEADROOM or None
        return cls(per_hour, options.calls_per_snapshot, options.max_hours, per_10s)

    def estimate_seconds(self, calls: int, workers: int) -> float:
        """Estimate how long calls take while no other process makes any."""
        sending = calls * (10 / self.per_10s if self.per_10s else SECONDS_PER_CALL / workers)
        waiting = (calls - 1) // self.per_hour * HOUR_SECONDS if self.per_hour and calls else 0
        return max(sending, waiting)


class Budget:
    """A gate that counts the calls of one snapshot over all its processes, and stops them in time.

    `spent_seconds` are the seconds of the hours that the runs used which this one continues.
    """

    def __init__(
        self,
        account_id: str,
        limits: Limits,
        attempt: Attempt,
        state: State,
        sleep: Callable[[float], None] = wait,
        spent_seconds: float = 0.0,
    ) -> None:
        self._account_id = account_id
        self.limits = limits
        self._attempt = attempt
        self._deadline = time.monotonic() + limits.hours * 3_600 - spent_seconds
        self._hourly: RateLimiter | None = None
        if limits.per_hour:
            subject = f"the LMS of account {account_id} allows {limits.per_hour:,} calls an hour (calls_per_hour)"
            limit = RateLimit(limits.per_hour, HOUR_SECONDS, subject)
            self._hourly = state.open_limiter(f"hour-{account_id}", limit, sleep)

    def __call__(self, request: Request) -> None:  # noqa: ARG002 - every request costs the same
        """Let a request pass, after a wait if the hourly limit needs one.

        Raises:
            BudgetSpentError: no call is left, or the hours are over.
            ContinuesLaterError: the hourly limit allows no call for longer than a run may wait.
        """
        if not self._attempt.count_request(self.limits.per_snapshot):
            raise BudgetSpentError(
                f"The {self.limits.per_snapshot} calls that a snapshot of {self._account_id} may cost are used up: "
                "raise calls_per_snapshot for it in LMS_ACCOUNTS_FILE."
            )
        with ExitStack() as undo:
            undo.callback(self._attempt.uncount_request)
            try:
                self._wait()
            except RateLimitExceededError:
                raise BudgetSpentError(
                    f"The {self.limits.hours:g} hours that a snapshot of {self._account_id} may take are over: "
                    "raise max_hours or calls_per_hour, or run it again to continue."
                ) from None
            undo.pop_all()

    def _wait(self) -> None:
        now = time.monotonic()
        if now > self._deadline:
            raise RateLimitExceededError
        if self._hourly is None:
            return
        try:
            self._hourly.acquire(min(self._deadline, now + MAX_HELD_WAIT_SECONDS))
        except RateLimitExceededError as error:
            if now + error.seconds > self._deadline:
                raise
            raise ContinuesLaterError(
                f"The hourly limit of account {self._account_id} ({self.limits.per_hour:,} calls, calls_per_hour)",
                error.seconds,
            ) from None

    def close(self) -> None:
        """Close the limiter."""
        if self._hourly is not None:
            self._hourly.close()
