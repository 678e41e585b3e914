"""A pull that kills its process after some seconds, or stops it as services are stopped, unless it ends earlier.

A thread of the process sends SIGKILL, which no process can catch, or SIGTERM, of which Dagster makes an interrupt.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Timer
from types import FrameType
from typing import Any

import msgspec

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner

EXIT_INTERRUPTED = 3


class Interrupted(BaseException):
    """What Dagster raises in the main thread at SIGTERM."""


def pull(
    runner: SnapshotRunner, account_id: str, options: dict[str, Any], seconds: float, number: int = signal.SIGKILL
) -> None:
    """Run one snapshot, and send this process a signal when its seconds are over."""
    signal.signal(signal.SIGTERM, _interrupt)
    timer = Timer(seconds, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
    converted = msgspec.convert(options | {"page_size": 3, "rotation_days": 0}, AccountOptions)
    try:
        runner.run(account_id=account_id, identity="pair", options=converted, run_id="killable")
    except Interrupted:
        sys.exit(EXIT_INTERRUPTED)
    timer.cancel()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted
