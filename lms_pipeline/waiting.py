"""Waiting that can be called off: where one call fails for good, those that wait for their turn wait no longer.

What belongs here: the wait, and the mark of a thread whose waits end with the work it belongs to. How long to wait is
`truto/`'s and `pull/`'s.
"""

from __future__ import annotations

import threading
import time


class CalledOffError(Exception):
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
        CalledOffError: the work of this thread is over.
    """
    if _mark.called_off is None:
        time.sleep(seconds)
    elif _mark.called_off.wait(seconds):
        raise CalledOffError
