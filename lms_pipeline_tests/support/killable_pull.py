"""A pull that is killed after some time, if it hasn't come to its end: `mortal.py ROOT URL TOKEN ACCOUNT STRATEGY SECONDS`.

It kills itself with SIGKILL, which no process can catch, from a thread of its own.
"""

import os
import signal
import sys
from pathlib import Path
from threading import Timer

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline_tests.support.snapshot_runs import Taker


def pull(arguments: list[str]) -> None:
    root, url, token, account, strategy, seconds = arguments
    timer = Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    options = AccountOptions(strategy=strategy, page_size=3, rotation_days=0)  # type: ignore[arg-type] # one of them
    Taker(Path(root), url, token).take(account_id=account, identity="pair", options=options, run_id="mortal")
    timer.cancel()


if __name__ == "__main__":
    pull(sys.argv[1:])
