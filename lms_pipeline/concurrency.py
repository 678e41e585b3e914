"""Concurrent calls with their results in order, and a wait that can be cancelled.

Belongs here: overlapping calls while only a few results are held. Not here: what a call does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CALLS_PER_WORKER = 4
"""Calls in the queue for each worker: enough that none is idle while one result is late, and few to hold."""


class WaitCancelledError(Exception):
    """The work that this thread waits for is over; nobody reads its result."""


class _Cancellation(threading.local):
    """The event that ends the waits of the current thread, if any."""

    event: Event | None = None


_cancellation = _Cancellation()


def wait(seconds: float) -> None:
    """Wait as `time.sleep` does; in a worker of `map_in_order`, at most until its work is cancelled.

    Raises:
        WaitCancelledError: the work of this thread is cancelled.
    """
    if _cancellation.event is None:
        time.sleep(seconds)
    elif _cancellation.event.wait(seconds):
        raise WaitCancelledError


def _set_cancellation(event: Event) -> None:
    _cancellation.event = event


def map_in_order(call: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[tuple[Item, Result]]:
    """Yield each item with the result of its call, in the order of the items; `workers` calls run at once.

    An error of a call is raised in its place. At an error, or when the generator is closed, no further call starts,
    calls in `wait` are cancelled, and the running ones are waited for.
    """
    queue: deque[tuple[Item, Future[Result]]] = deque()
    cancelled = Event()
    with ThreadPoolExecutor(workers, "map-in-order", initializer=_set_cancellation, initargs=(cancelled,)) as pool:
        try:
            for item in items:
                queue.append((item, pool.submit(call, item)))
                if len(queue) > workers * CALLS_PER_WORKER:
                    first, future = queue.popleft()
                    yield first, future.result()
            while queue:
                first, future = queue.popleft()
                yield first, future.result()
        finally:
            cancelled.set()
            for _, future in queue:
                future.cancel()
