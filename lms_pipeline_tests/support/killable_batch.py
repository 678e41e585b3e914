"""A run of several accounts that kills itself when it is about to publish one of them.

Usage: `python -m lms_pipeline_tests.support.killable_batch RUN_ID ACCOUNT`, with the settings in the environment.
"""

import os
import signal
import sys
from typing import Any

from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import PULLED_TABLES


class KillingPublication(Publication):
    """Sends SIGKILL to its process instead of publishing the pull of an account."""

    account = ""

    def publish(self, files: Any) -> Any:
        """Publish, or die."""
        if getattr(self.partition, "account_id", None) == self.account and len(files) == len(PULLED_TABLES):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().publish(files)


def execute(run_id: str, account: str) -> None:
    """Execute a run that exists."""
    from lms_pipeline.snapshot import run as snapshot_run

    KillingPublication.account = account
    vars(snapshot_run)["Publication"] = KillingPublication
    settings = Settings.load()
    with open_instance(settings) as instance:
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        run = instance.get_run_by_id(run_id)
        assert run is not None
        execute_run(InMemoryJob(job), run, instance)


if __name__ == "__main__":
    execute(*sys.argv[1:])
