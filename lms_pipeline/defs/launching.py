"""Runs on this machine, and those of them that nobody is at any more.

What belongs here: the one question that Dagster's own launcher has no answer to. Without one a run that is killed together
with the server that started it, as by a power cut, is STARTED for ever and keeps its place among those that run at once.
"""

from __future__ import annotations

import os
import socket

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

from lms_pipeline.defs.failures import FROM_A_SHELL

RUNNING = CheckRunHealthResult(WorkerStatus.RUNNING)


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Dagster's own, for an instance with `run_monitoring`, which asks again and again how runs are.

    A run whose server lives is left to that server, which sees its processes end.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It can tell."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the server that started the run is there; of a run from a shell, whether the command is."""
        if command := run.tags.get(FROM_A_SHELL):
            return RUNNING if _goes_on(command) else _lost("the command that made it")
        server = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if server is not None:
            try:
                server.ping("")
            except DagsterUserCodeUnreachableError as error:
                if "UNAVAILABLE" in str(error):  # else it is only slow
                    return _lost("the server that started it")
        return RUNNING


def this_process() -> str:
    """Host and number of this process, as the tag of its runs."""
    return f"{socket.gethostname()} {os.getpid()}"


def _lost(whom: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, f"{whom} has ended")


def _goes_on(command: str) -> bool:
    """Whether a process lives; of one on another host, or in another container, nothing is known."""
    host, _, number = command.partition(" ")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
