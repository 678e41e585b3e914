"""Several calls on their way at once, their answers in the order in which they were asked for.

What belongs here: overlapping calls without holding more than a few of their answers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar


class WaitCancelledError(Exception):
    """The work that this thread waited for is over; nobody looks at what it would have brought."""


class _Mark(threading.local):
    called_off: threading.Event | None = None


_mark = _Mark()


def mark_thread(called_off: threading.Event) -> None:
    """From now on the waits of this thread end when the event is set."""
    _mark.called_off = called_off


def wait(seconds: float) -> None:
    """Wait so long.

    Raises:
        WaitCancelledError: the work of this thread is over.
    """
    if _mark.called_off is None:
        time.sleep(seconds)
    elif _mark.called_off.wait(seconds):
        raise WaitCancelledError


Item = TypeVar("Item")
Answer = TypeVar("Answer")

AHEAD = 4
"""Calls that wait for each worker: enough that none is idle while one answer is late, and few to hold."""


def map_in_order(
    ask: Callable[[Item], Answer], items: Iterable[Item], workers: int
) -> Generator[tuple[Item, Answer]]:
    """Each item with its answer, in the order of the items.

    Where one raises, the error comes in its place; the calls on their way are waited for, none is begun any more, and
    those that wait for their turn are called off. So it is where the iterator is closed before its end.
    """
    waiting: deque[tuple[Item, Future[Answer]]] = deque()
    called_off = Event()
    with ThreadPoolExecutor(workers, "asking", initializer=mark_thread, initargs=(called_off,)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(ask, item)))
                if len(waiting) > workers * AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            called_off.set()
            for _, future in waiting:
                future.cancel()
