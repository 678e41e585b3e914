"""How often and after what wait a request is asked again.

What belongs here: numbers and arithmetic. The asking is `asking.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import RetryCallState, wait_random_exponential

from lms_pipeline.truto.errors import TransientError


@dataclass(frozen=True, slots=True)
class Patience:
    """How long we insist on an answer; the waits are in seconds."""

    attempts: int = 6
    attempts_unavailable: int = 4
    """For 503: overloaded, or the account is blocked; it seldom passes."""
    too_many_requests: float = 10
    """After a 429 that doesn't say how long."""
    first: float = 0.5
    """The backoff starts at most here, doubles, and is drawn at random below, so that workers don't meet again."""
    longest: float = 60
    """No single wait is longer: what the server asks beyond it ends the request, since a run must not hang."""

    def gives_up(self, state: RetryCallState) -> bool:
        """Whether the failed attempt of `state` was the last one."""
        error = _error(state)
        if error.retry_after is not None and error.retry_after > self.longest:
            return True
        limit = self.attempts_unavailable if error.status == 503 else self.attempts
        return state.attempt_number >= limit

    def seconds(self, state: RetryCallState) -> float:
        """The wait before the next attempt."""
        asked = self.pause(_error(state))
        return (
            wait_random_exponential(multiplier=self.first, max=self.longest)(state)
            if asked is None
            else asked
        )

    def pause(self, error: TransientError) -> float | None:
        """How long the whole account is left alone after an error; None where that is no use."""
        if error.retry_after is not None:
            return min(error.retry_after, self.longest)
        return min(self.too_many_requests, self.longest) if error.status == 429 else None


def _error(state: RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, TransientError)  # noqa: S101 (nothing else is retried)
    return error
