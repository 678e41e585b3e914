"""Ctrl-C and SIGTERM during the runs of a command: the current run ends, no further run starts, the process ends in time.

Belongs here: signals and the exit status they give. Not here: what a run does when it is interrupted (`defs/instance.py`).
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, main_thread

import click

MAX_STOP_SECONDS = 8.0
"""Time from a signal to the end of the process: a request or a query in progress may take a minute to end by itself."""
REPEAT_SECONDS = 4.0
"""Time from a signal to its repetition: one that arrives just before a blocking call does not end that call."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalWatch:
    """A thread that reads which signal arrives: Dagster replaces signal handlers and hides the number.

    A signal is repeated once after `REPEAT_SECONDS`. If the process is still there after `MAX_STOP_SECONDS`, it ends at
    once. Nothing is lost by that: files are published by a rename, locks end with the process, and each response is stored
    when it arrives; with a bucket on this machine, of which the bucket has the copy of `LMS_CHECKPOINT_SECONDS` ago.
    """

    def __init__(self, summarize: Callable[[], str]) -> None:
        self.exit_status = 128 + signal.SIGINT
        self._summarize = summarize
        self._is_over = Event()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        self._thread = Thread(target=self._watch, name="signal-watch", daemon=True)

    def start(self) -> None:
        """Watch the signals of this process."""
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the process may take its time again."""
        self._is_over.set()
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _watch(self) -> None:
        while number := self._reader.recv(1):
            if number[0] in SIGNALS:
                self.exit_status = 128 + number[0]
                break
        else:
            return
        if self._is_over.wait(REPEAT_SECONDS):
            return
        signal.pthread_kill(main_thread().ident or 0, number[0])
        if not self._is_over.wait(MAX_STOP_SECONDS - REPEAT_SECONDS):
            click.echo(self._summarize(), err=True)
            os._exit(self.exit_status)


@contextmanager
def stop_on_signals(summarize: Callable[[], str]) -> Iterator[None]:
    """End the process with the line of `summarize` and status 130 or 143 if the block is interrupted."""
    previous = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    watch = SignalWatch(summarize)
    watch.start()
    try:
        yield
    except KeyboardInterrupt:
        click.echo(summarize(), err=True)
        raise SystemExit(watch.exit_status) from None
    finally:
        watch.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
