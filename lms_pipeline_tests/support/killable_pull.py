"""A pull that kills itself after some seconds, unless it ends earlier.

Usage: `python -m lms_pipeline_tests.support.killable_pull ROOT URL TOKEN ACCOUNT STRATEGY REMOTE_DATA SECONDS`.
A thread of the process sends SIGKILL, which no process can catch.
"""

import os
import signal
import sys
from pathlib import Path
from threading import Timer

import msgspec

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner


def pull(arguments: list[str]) -> None:
    """Run one snapshot with these command-line arguments, and kill the process when its seconds are over."""
    root, url, token, account, strategy, remote_data, seconds = arguments
    timer = Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    table = {"strategy": strategy, "remote_data": remote_data, "page_size": 3, "rotation_days": 0}
    options = msgspec.convert(table, AccountOptions)
    runner = SnapshotRunner(Path(root), url, token)
    runner.run(account_id=account, identity="pair", options=options, run_id="killable")
    timer.cancel()


if __name__ == "__main__":
    pull(sys.argv[1:])
