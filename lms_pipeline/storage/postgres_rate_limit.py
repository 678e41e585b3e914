"""The rate limiter of several machines: reserved times in PostgreSQL, by the clock of its server.

Belongs here: the wait for a reserved time, and for a database that is away. Not here: the reservation (`state.sql`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from lms_pipeline.concurrency import wait
from lms_pipeline.storage.postgres import Database
from lms_pipeline.storage.rate_limit import RateLimit, RateLimitExceededError
from lms_pipeline.storage.state import StateError

MAX_AWAY_SECONDS = 60.0
"""How long calls wait for a database that is away: as it is during a restart, or while a standby takes over."""
RETRY_SECONDS = 1.0
_TAKE = "SELECT slot, seconds FROM lms.take_slot(%s, %s, %s, %s, %s)"
_RELEASE = "DELETE FROM lms.slots WHERE id = %s"


class PostgresRateLimiter:
    """Limits calls in any window of time, over all processes that use the same database; see `RateLimiter`.

    Each call reserves its time in one statement: no process asks again and again, and none is faster than another. A process
    that dies wastes its time, and a statement whose answer is lost wastes one too: the limit is never exceeded.
    """

    def __init__(self, database: Database, name: str, limit: RateLimit, sleep: Callable[[float], None] = wait) -> None:
        self._database = database
        self._name = name
        self._limit = limit
        self._sleep = sleep

    def acquire(self, deadline: float | None = None) -> None:
        """Count a call, after a wait for the limit to allow it; `deadline` is a time of `time.monotonic`.

        Raises:
            RateLimitExceededError: no call is allowed before the deadline; nothing is counted.
            StateError: the database was away for longer than `MAX_AWAY_SECONDS`, or refuses the statement.
        """
        slot, seconds = self._reserve(deadline)
        if seconds <= 0:
            return
        self._limit.log_wait(seconds)
        with ExitStack() as undo:  # a cancelled wait: the call is not made
            undo.callback(self._release, slot)
            self._sleep(seconds)
            undo.pop_all()

    def close(self) -> None:
        """Do nothing: the connections are those of the process."""

    def _reserve(self, deadline: float | None) -> tuple[int, float]:
        """Reserve the first free time. Return its row, and the seconds until then."""
        limit, gives_up_at = self._limit, time.monotonic() + MAX_AWAY_SECONDS
        while True:
            longest = None if deadline is None else max(deadline - time.monotonic(), 0)
            parameters = [self._name, limit.calls, limit.window_seconds, limit.gap_seconds, longest]
            try:
                [(slot, seconds)] = self._database.query(_TAKE, parameters)
                break
            except StateError as error:
                if not error.may_pass or time.monotonic() >= gives_up_at:
                    raise
                self._sleep(RETRY_SECONDS)
        if slot is None:
            raise RateLimitExceededError(seconds)
        return slot, seconds

    def _release(self, slot: int) -> None:
        with suppress(StateError):  # its time is wasted
            self._database.query(_RELEASE, [slot])
