"""Work of several threads: calls with their results in order, calls in batches; what a signal or an error may cut off.

Belongs here: overlapping work while only little of it is held. Not here: what a call does.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from types import FrameType
from typing import Any, Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVar("Shared")

CALLS_PER_WORKER = 4
"""Calls in the queue for each worker: enough that none is idle while one result is late, and few to hold."""


MIN_WAIT_SECONDS = 0.02
"""Wait for an item from which on the next one is read ahead. Two threads take 10 to 15% more CPU for a pull than one, and
a page becomes rows in 10 ms."""


class WaitCancelledError(Exception):
    """The work that this thread waits for is over; nobody reads its result."""


class _End:
    """Comes after the last item."""


_END = _End()


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


@contextmanager
def delay_sigterm() -> Iterator[None]:
    """Let SIGTERM act at the end of the block only, once what the block costs is stored; a second SIGTERM acts at once.

    Services, containers and pods are stopped by SIGTERM, and continue later. Ctrl-C acts at once. A thread other than the
    main one receives no signals: `map_in_order` and `read_ahead` wait for theirs.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if is_main else None
    if not callable(handler):  # the default: the process ends without another line of Python
        yield
        return
    received: list[FrameType | None] = []

    def delay(number: int, frame: FrameType | None) -> None:
        if received:
            received.clear()
            handler(number, frame)
        else:
            received.append(frame)

    signal.signal(signal.SIGTERM, delay)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        if received:
            handler(signal.SIGTERM, received[0])


@contextmanager
def run_beside(work: Callable[[Event], object], name: str) -> Iterator[None]:
    """Let a thread of this name work while the block runs; the event is set at its end, which waits for the thread."""
    ended = Event()
    thread = Thread(target=work, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


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


def read_ahead(items: Iterable[Item]) -> Generator[Item]:
    """Yield the items; while one is in use, a thread gets the next one, if the one before was waited for.

    An error of `items` is raised in its place. When the generator is closed, the next item is waited for, so that what it
    cost is not lost, and a `wait` for it is cancelled.
    """
    iterator = iter(items)
    cancelled = Event()
    with ThreadPoolExecutor(1, "read-ahead", initializer=_set_cancellation, initargs=(cancelled,)) as pool:
        try:
            item, waited_seconds = _get_next(iterator)
            while not isinstance(item, _End):
                if waited_seconds < MIN_WAIT_SECONDS:
                    yield item
                    item, waited_seconds = _get_next(iterator)
                else:
                    upcoming = pool.submit(_get_next, iterator)
                    yield item
                    item, waited_seconds = upcoming.result()
        finally:
            cancelled.set()


def _get_next(iterator: Iterator[Item]) -> tuple[Item | _End, float]:
    """Return the next item, and the seconds in which this thread did nothing but wait for it."""
    started, used = time.monotonic(), time.thread_time()
    item = next(iterator, _END)
    return item, time.monotonic() - started - (time.thread_time() - used)


def _build_held_lock() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class _Entry(Generic[Shared, Result]):
    """A call that waits for its turn, and what came of it."""

    call: Callable[[Shared], Result]
    ended: Lock = field(default_factory=_build_held_lock)
    """Held until the call has its result or its error."""
    result: Result | None = None
    error: BaseException | None = None


class CombinedCalls(Generic[Shared]):
    """Makes the calls of threads in batches, as changes in one transaction: what arrives during one batch is the next.

    There is no thread of its own: the thread that comes first makes batches until no call waits. So a single thread makes
    each of its calls at once.

    Args:
        share: opens what a batch shares. Its calls end with the block, or fail with it.
    """

    def __init__(self, share: Callable[[], AbstractContextManager[Shared]]) -> None:
        self._share = share
        self._lock = Lock()
        self._waiting: list[_Entry[Shared, Any]] = []
        self._is_led = False

    def run(self, call: Callable[[Shared], Result]) -> Result:
        """Return the result of a call after the end of its batch. An error of a batch is raised in every thread that waits."""
        entry = _Entry(call)
        with self._lock:
            self._waiting.append(entry)
            leads, self._is_led = not self._is_led, True
        if leads:
            self._make_batches()
        else:
            entry.ended.acquire()
        if entry.error is not None:
            raise entry.error
        return cast(Result, entry.result)

    def _make_batches(self) -> None:
        batch: list[_Entry[Shared, Any]] = []
        try:
            while batch := self._take_waiting():
                with self._share() as shared:
                    for entry in batch:
                        entry.result = entry.call(shared)
                for entry in batch:
                    entry.ended.release()
        except BaseException as error:  # an interrupt too: no thread may wait for ever
            while batch:
                for entry in batch:
                    entry.error = error
                    entry.ended.release()
                batch = self._take_waiting()
            raise

    def _take_waiting(self) -> list[_Entry[Shared, Any]]:
        with self._lock:
            batch, self._waiting = self._waiting, []
            self._is_led = bool(batch)
            return batch
