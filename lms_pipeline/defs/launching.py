"""The run launcher for one machine: it also notices runs whose process has died with its server.

Dagster's own launcher can't: a run that is killed together with its code server, as by a power cut, would stay STARTED
for ever and keep its slot.
"""

from __future__ import annotations

import os
import re
import socket

import dagster as dg

# no public names: what the server's client raises, and what `RunLauncher.check_run_worker_health` has to return
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from lms_pipeline.defs.failures import SHELL_TAG

PROCESS_ID = re.compile(r"[1-9][0-9]{0,8}")
"""Ids of processes. 0 and negative ones mean groups of processes."""
RUNNING = CheckRunHealthResult(WorkerStatus.RUNNING)


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher with health checks, for an instance with `run_monitoring`.

    A run whose code server is alive is reported as running: the server itself notices when the run's process ends.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True: Dagster then calls `check_run_worker_health` for every run under way."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check that the code server of the run is alive; for a run from a shell, that its command is."""
        if command := run.tags.get(SHELL_TAG):
            return RUNNING if _is_alive(command) else _build_failed("the command that started it")
        # the tag with the server's address is read by this private method only
        server = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if server is not None:
            try:
                server.ping("")
            except DagsterUserCodeUnreachableError as error:
                if "UNAVAILABLE" in str(error):  # gRPC's status where nothing listens; others mean a slow server
                    return _build_failed("the server that started it")
        return RUNNING


def identify_process() -> str:
    """Return host and id of this process, the value of `SHELL_TAG`."""
    return f"{socket.gethostname()} {os.getpid()}"


def _build_failed(owner: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, f"{owner} has ended")


def _is_alive(command: str) -> bool:
    """Check that a process is alive.

    One on another host, or in another container, counts as alive, and so does one that the tag does not identify.
    """
    host, _, process_id = command.partition(" ")
    if host != socket.gethostname() or not PROCESS_ID.fullmatch(process_id):
        return True
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process of another user
        return True
    return True
