"""Retry policy of one request: attempts, waits between them, and the cool-down of an account.

Belongs here: when a request is sent again. Not here: one exchange (`transport.py`), limits shared by processes
(`rate_limit.py`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random_exponential

from lms_pipeline.concurrency import delay_sigterm, wait
from lms_pipeline.truto.errors import TransientError, parse_wait_seconds
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.response import BadBodyError
from lms_pipeline.truto.transport import Gate, HttpTransport
from lms_pipeline.truto.waiting import MAX_HELD_WAIT_SECONDS, MAX_WAIT_SECONDS, ContinuesLaterError

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is sent, and how long the waits are, in seconds."""

    max_attempts: int = 6
    max_attempts_unavailable: int = 4
    """Attempts after a 503: the API is overloaded or the account is blocked, which seldom passes soon."""
    too_many_requests_seconds: float = 10
    """Wait after a 429 without `Retry-After` and `ratelimit-reset`."""
    first_backoff_seconds: float = 0.5
    """Upper bound of the first back-off; it doubles. The wait is drawn at random between its half and itself, so that
    workers spread and none sends again at once. No cool-down is shorter."""
    max_wait_seconds: float = MAX_HELD_WAIT_SECONDS
    """Longest single wait: a server that demands more ends the request, since a run must not hang."""
    continues_later: bool = False
    """Whether such a request ends with `ContinuesLaterError`: whoever sends it can continue in a later run."""

    def should_stop(self, state: RetryCallState) -> bool:
        """Return whether the failed attempt of `state` is the last one."""
        error = _get_error(state)
        if error.retry_after is not None and error.retry_after > self.max_wait_seconds:
            return True
        limit = self.max_attempts_unavailable if error.status == 503 else self.max_attempts
        return state.attempt_number >= limit

    def wait_seconds(self, state: RetryCallState) -> float:
        """Return the wait before the next attempt: the back-off, or what a server demands if that is longer."""
        half, longest = self.first_backoff_seconds / 2, self.max_wait_seconds / 2
        backoff = wait_exponential(half, longest) + wait_random_exponential(half, longest)
        return max(backoff(state), self.cooldown_seconds(_get_error(state)) or 0)

    def cooldown_seconds(self, error: TransientError) -> float | None:
        """Return how long nobody may send a request to the account after an error; None for a failure of one request."""
        demanded = error.retry_after
        if demanded is None and error.status == 429:
            demanded = self.too_many_requests_seconds
        if demanded is None:
            return None
        return min(max(demanded, self.first_backoff_seconds), self.max_cooldown_seconds)

    @property
    def max_cooldown_seconds(self) -> float:
        """Longest cool-down of an account: one that is longer than a wait ends requests before they are sent."""
        return MAX_WAIT_SECONDS if self.continues_later else self.max_wait_seconds


def _get_error(state: RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, TransientError)  # noqa: S101 (nothing else is retried)
    return error


class Cooldowns:
    """Until when no request may be sent to each account; shared by the threads of a client."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = wait) -> None:
        self._clock = clock
        self.sleep = sleep
        self._until: dict[str | None, float] = {}
        self._lock = Lock()

    def start(self, account_id: str | None, seconds: float) -> None:
        """Start a cool-down of an account; one that lasts longer already stays."""
        with self._lock:
            self._until[account_id] = max(self._until.get(account_id, 0), self._clock() + seconds)

    def wait(self, account_id: str | None, longest: float = math.inf) -> None:
        """Wait for the end of the account's cool-down, even if another thread extends it meanwhile.

        Raises:
            ContinuesLaterError: it lasts longer than `longest` seconds.
        """
        while (left := self._until.get(account_id, 0) - self._clock()) > 0:
            if left > longest:
                raise ContinuesLaterError(_name_limit(account_id), left)
            self.sleep(left)


class RetryingTransport:
    """Sends each request until there is a usable response. Threads may share it.

    Each attempt waits for the account's cool-down, then passes the gate, which counts it, and waits for another cool-down that
    may have started during the gate's wait.
    """

    def __init__(self, http: HttpTransport, gate: Gate, cooldowns: Cooldowns, retry_policy: RetryPolicy) -> None:
        self._http = http
        self._gate = gate
        self._cooldowns = cooldowns
        self._policy = retry_policy
        self._retrying = Retrying(  # threads may share it: it keeps the state of a call in the thread
            retry=retry_if_exception_type(TransientError),
            stop=retry_policy.should_stop,
            wait=retry_policy.wait_seconds,
            sleep=cooldowns.sleep,
            before_sleep=_log_attempt,
            reraise=True,
        )

    def fetch(self, request: Request, read: Callable[[httpx.Response], T]) -> T:
        """Return what `read` makes of the response; `BadBodyError` of `read` leads to another attempt.

        Raises:
            PermanentError: the request is refused.
            TransientError: no usable response after all attempts.
            ContinuesLaterError: the account allows no call for longer than a run may wait.
        """
        policy = self._policy
        try:
            return self._retrying(lambda: self._attempt(request, read))
        except TransientError as error:
            if policy.continues_later and error.retry_after is not None and error.retry_after > policy.max_wait_seconds:
                raise ContinuesLaterError(_name_limit(request.account_id), error.retry_after) from error
            raise

    def _attempt(self, request: Request, read: Callable[[httpx.Response], T]) -> T:
        longest = self._policy.max_wait_seconds if self._policy.continues_later else math.inf
        self._cooldowns.wait(request.account_id, longest)
        self._gate(request)
        self._cooldowns.wait(request.account_id, longest)
        try:
            with delay_sigterm(), self._http.send(request) as response:
                self._respect_limit(response, request.account_id)
                return read(response)
        except BadBodyError as bad:
            raise TransientError(f"The response {bad}", request=request.label, todo="try again later") from bad
        except TransientError as error:
            seconds = self._policy.cooldown_seconds(error)
            if seconds is not None:
                self._cooldowns.start(request.account_id, seconds)
            raise

    def _respect_limit(self, response: httpx.Response, account_id: str | None) -> None:
        """Start a cool-down if this response used up a limit: the next request would get a 429."""
        if response.headers.get("ratelimit-remaining") == "0":
            reset = parse_wait_seconds(response.headers.get("ratelimit-reset", ""))
            if reset is not None:
                self._cooldowns.start(account_id, min(reset, self._policy.max_cooldown_seconds))


def _name_limit(account_id: str | None) -> str:
    return f"The LMS of account {account_id}" if account_id else "Truto"


def _log_attempt(state: RetryCallState) -> None:
    seconds = state.next_action.sleep if state.next_action else 0
    log.warning("%s Attempt %d of a request; the next one in %.1f s.", _get_error(state), state.attempt_number, seconds)
