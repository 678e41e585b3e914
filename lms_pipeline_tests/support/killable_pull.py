"""A pull that kills its process after some seconds, unless it ends earlier.

A thread of the process sends SIGKILL, which no process can catch.
"""

from __future__ import annotations

import os
import signal
from threading import Timer
from typing import Any

import msgspec

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner


def pull(runner: SnapshotRunner, account_id: str, options: dict[str, Any], seconds: float) -> None:
    """Run one snapshot, and kill this process when its seconds are over."""
    timer = Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    converted = msgspec.convert(options | {"page_size": 3, "rotation_days": 0}, AccountOptions)
    runner.run(account_id=account_id, identity="pair", options=converted, run_id="killable")
    timer.cancel()
