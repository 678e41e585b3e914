"""Asking until there is an answer: tries, waits, and pauses.

What belongs here: what happens around single requests. How long the waits are is `waits.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from lms_pipeline.concurrency import wait
from lms_pipeline.truto.errors import TransientError, seconds_of
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.response import BadBodyError
from lms_pipeline.truto.transport import HttpTransport


@dataclass(frozen=True, slots=True)
class RetryPolicy:
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

    def should_stop(self, state: RetryCallState) -> bool:
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


class Cooldowns:
    """Until when each account is left alone; shared by the threads of a process."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = wait
    ) -> None:
        self._clock = clock
        self.sleep = sleep
        self._until: dict[str | None, float] = {}
        self._lock = Lock()

    def pause(self, account_id: str | None, seconds: float) -> None:
        """Leave the account alone for so long; a longer pause that is on already stays."""
        with self._lock:
            self._until[account_id] = max(self._until.get(account_id, 0), self._clock() + seconds)

    def keep(self, account_id: str | None) -> None:
        """Wait until the account may be asked; others may prolong the pause meanwhile."""
        while (left := self._left(account_id)) > 0:
            self.sleep(left)

    def _left(self, account_id: str | None) -> float:
        with self._lock:
            return self._until.get(account_id, 0) - self._clock()


log = logging.getLogger(__name__)

T = TypeVar("T")


class RequestRetrier:
    """Sends requests again where that may help. An account that a server wants left alone is left alone by all."""

    def __init__(self, requests: HttpTransport, cooldowns: Cooldowns, retry_policy: RetryPolicy) -> None:
        self._requests = requests
        self._pauses = cooldowns
        self._patience = retry_policy

    def ask(self, request: Request, read: Callable[[httpx.Response], T]) -> T:
        """What `read` makes of the answer.

        Raises:
            PermanentError: refused.
            TransientError: no answer to use, however often it was asked.
        """

        def attempt() -> T:
            self._requests.pass_gate(request)
            self._pauses.keep(
                request.account_id
            )  # after the gate: a pause may have begun while it was waited at
            try:
                with self._requests.sent(request) as response:
                    self._heed(response, request.account_id)
                    return read(response)
            except BadBodyError as bad:
                raise TransientError(
                    f"The answer {bad}", request=request.label, todo="try again later"
                ) from None
            except TransientError as error:
                if (pause := self._patience.pause(error)) is not None:
                    self._pauses.pause(request.account_id, pause)
                raise

        return Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._patience.should_stop,
            wait=self._patience.seconds,
            sleep=self._pauses.sleep,
            before_sleep=_tell,
            reraise=True,
        )(attempt)

    def _heed(self, response: httpx.Response, account_id: str | None) -> None:
        """A limit that this answer used up is waited for before the next request, instead of meeting it."""
        if response.headers.get("ratelimit-remaining") == "0":
            reset = seconds_of(response.headers.get("ratelimit-reset", ""))
            if reset is not None:
                self._pauses.pause(account_id, min(reset, self._patience.longest))


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0
    log.warning("%s Attempt %d of a request; the next one in %.1f s.", error, state.attempt_number, wait)
