"""The run launcher for one machine: it also notices runs whose process has died with its server or its container.

Dagster's own launcher can't: a run that is killed together with its code server, as by a power cut, would stay STARTED
forever and keep its slot.
"""

from __future__ import annotations

import os
import socket
import time

import dagster as dg

# no public names: what the server's client raises, and what `RunLauncher.check_run_worker_health` has to return
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from lms_pipeline.defs.failures import SHELL_TAG
from lms_pipeline.defs.run_locks import LockState, probe_run_lock

RUNNING = CheckRunHealthResult(WorkerStatus.RUNNING)
MAX_SECONDS_WITHOUT_LOCK = 120.0
"""Time from the start of a run until its process must hold the run's lock; it needs some seconds."""


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher with health checks, for an instance with `run_monitoring`.

    A run is alive while its process holds the run's lock, wherever it runs and whatever its number is: locks end with
    their process. A run without a lock has not reached our code yet, or is another project's: of these a code server
    that is alive notices the end itself.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True: Dagster then calls `check_run_worker_health` for every run under way."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check that the lock of the run is held; without a lock, that its command or its server can be alive."""
        state = probe_run_lock(self._instance, run.run_id)
        if state is LockState.HELD:
            return RUNNING
        if state is LockState.FREE:
            return _build_failed("the process of this run")
        owner = self._find_ended_owner(run)
        return RUNNING if owner is None or self._has_just_started(run) else _build_failed(owner)

    def _find_ended_owner(self, run: dg.DagsterRun) -> str | None:
        """Return what started a run without a lock and has ended; None if it can be alive."""
        if SHELL_TAG in run.tags:  # a command holds the lock from before the start of the run
            return "the command that started it"
        # the tag with the server's address is read by this private method only
        server = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if server is not None:
            try:
                server.ping("")
            except DagsterUserCodeUnreachableError as error:
                if "UNAVAILABLE" in str(error):  # gRPC's status where nothing listens; others mean a slow server
                    return "the server that started it"
        return None

    def _has_just_started(self, run: dg.DagsterRun) -> bool:
        record = self._instance.get_run_record_by_id(run.run_id)
        if record is None:
            return False
        started = record.start_time or record.create_timestamp.timestamp()
        return abs(time.time() - started) < MAX_SECONDS_WITHOUT_LOCK


def identify_process() -> str:
    """Return host and id of this process, the value of `SHELL_TAG`."""
    return f"{socket.gethostname()} {os.getpid()}"


def _build_failed(owner: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, f"{owner} has ended")
