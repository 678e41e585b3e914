"""A pull that kills its process after some seconds, or stops it as services are stopped, unless it ends earlier.

A thread of the process sends SIGKILL, which no process can catch, or SIGTERM, which is an interrupt as in Dagster.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from contextlib import chdir, suppress
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import Any

import msgspec

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.storage.store import StoredFile
from lms_pipeline_tests.support.bucket import FolderBucket
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "duckdb", "pyarrow.parquet"])
"""Each pull is a process of its own; they share the imports, which take longer than the pull."""
MAX_SECONDS = 60.0


def start_processes() -> None:
    """Start the server of processes, and wait until it has imported what a pull needs."""
    with chdir(Path(__file__).parents[2]):
        process = PROCESSES.Process(target=os.getpid)
        process.start()
        process.join(MAX_SECONDS)
    assert process.exitcode == 0


def pull(
    runner: SnapshotRunner, account_id: str, options: dict[str, Any], seconds: float, number: int = signal.SIGKILL
) -> None:
    """Run one snapshot, and send this process a signal when its seconds are over."""
    timer = Timer(seconds, os.kill, (os.getpid(), number))
    timer.daemon = True
    signal.signal(signal.SIGTERM, _interrupt)
    timer.start()
    with suppress(KeyboardInterrupt):
        _run(runner, account_id, options)
        timer.cancel()
        return
    sys.exit(1)


def pull_until_published(runner: SnapshotRunner, account_id: str, options: dict[str, Any], files: int) -> None:
    """Run one snapshot, and kill this process when it has published so many files into the bucket."""
    publish, published = FolderBucket.publish, itertools.count(1)

    def publish_or_die(self: FolderBucket, new: Path, key: str, seen: StoredFile | None) -> None:
        publish(self, new, key, seen)
        if next(published) == files:
            os.kill(os.getpid(), signal.SIGKILL)

    FolderBucket.publish = publish_or_die  # type: ignore[method-assign] # of this process only
    _run(runner, account_id, options)


def _run(runner: SnapshotRunner, account_id: str, options: dict[str, Any]) -> None:
    converted = msgspec.convert(options | {"page_size": 3, "rotation_days": 0}, AccountOptions)
    runner.run(account_id=account_id, identity="pair", options=converted, run_id="killable")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
