"""Run launchers that notice runs whose process has died, wherever it was: the launcher for one machine, and the part of all others.

Belongs here: the health of runs, from their locks. Not here: launchers of the extra `distributed` (`launching_k8s.py` and others).
"""

# Dagster's own launchers can't: a run that is killed together with its code server, as by a power cut, would stay STARTED
# forever and keep its slot; and of a run that a command executes in its own process they know nothing, so that run
# monitoring would end it.

from __future__ import annotations

import os
import socket
import time
from functools import cached_property

import dagster as dg

# no public names: what the server's client raises, the base class of all launchers, and what its health checks return
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, RunLauncher, WorkerStatus
from dagster._core.storage.event_log import SqliteEventLogStorage

from lms_pipeline.defs.failures import SHELL_TAG
from lms_pipeline.defs.missed_checks import MissedChecks
from lms_pipeline.defs.run_locks import LockState, probe_run_lock
from lms_pipeline.defs.run_sessions import has_run_session, open_database
from lms_pipeline.errors import SettingsError

RUNNING = CheckRunHealthResult(WorkerStatus.RUNNING)
MAX_SECONDS_WITHOUT_LOCK = 120.0
"""Time from the start of a run until its process must hold the run's lock; it needs some seconds."""


class MissingExtraError(SettingsError):
    """A launcher of the extra `distributed` is configured, and a package that it needs is not installed."""

    def __init__(self, launcher: str, error: ModuleNotFoundError) -> None:
        package = str(error.name).partition(".")[0]
        super().__init__(
            f"{launcher} needs the package {package}, which is not installed: install the extra `distributed`, with "
            "`pip install --require-hashes -r requirements-distributed.lock`."
        )


class ShellRuns(RunLauncher[dg.DagsterInstance]):
    """The part of every launcher that knows the runs of commands, such as `lms-pipeline materialize`.

    The command executes such a run in its own process, so the launcher behind this class has never seen it. It is alive
    while its process holds the run's lock; on another host, while it has a session in the database. Name this class before
    Dagster's launcher in the bases of a class.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True: Dagster then calls `check_run_worker_health` for every run under way."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check the lock of a command's run, or its session; ask Dagster's launcher about every other run."""
        if not is_of_command(run):
            return super().check_run_worker_health(run)
        result = check_run_lock(self._instance, run)
        if result is not None:
            return result
        # a command holds both from before the start of the run
        has_ended = _is_lock_visible(self._instance, run) or self._lacks_session(run)
        return _build_failed("the command that started it") if has_ended else RUNNING

    @cached_property
    def _missed(self) -> MissedChecks:
        return MissedChecks()

    def _lacks_session(self, run: dg.DagsterRun) -> bool:
        """Return whether enough checks found no session of a run in the database of LMS_STATE_URL."""
        if has_run_session(open_database(), run.run_id) is False:
            return self._missed.add(run.run_id)
        self._missed.forget(run.run_id)
        return False

    def terminate(self, run_id: str) -> bool:
        """Terminate a run. Return False for the run of a command: only the command can end it."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and is_of_command(run):
            message = f"A command executes this run: end the process {run.tags[SHELL_TAG]}."
            self._instance.report_engine_event(message, run, cls=self.__class__)
            return False
        return super().terminate(run_id)  # type: ignore[safe-super] # that of Dagster's launcher

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Return what is known of the worker of a failed run; None for the run of a command."""
        return None if is_of_command(run) else super().get_run_worker_debug_info(run, include_container_logs)


class LocalRunLauncher(ShellRuns, dg.DefaultRunLauncher):
    """Dagster's default launcher with health checks, for an instance with `run_monitoring`.

    A run is alive while its process holds the run's lock, wherever it runs and whatever its number is: locks end with
    their process. A run without a lock has not reached our code yet, or is another project's: of these a code server
    that is alive notices the end itself.
    """

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check that the lock of the run is held; without a lock, that its command or its server can be alive."""
        if is_of_command(run):
            return super().check_run_worker_health(run)
        result = check_run_lock(self._instance, run)
        if result is None and self._has_server_ended(run):
            return _build_failed("the server that started it")
        return result or RUNNING

    def _has_server_ended(self, run: dg.DagsterRun) -> bool:
        # the tag with the server's address is read by this private method only
        server = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if server is not None:
            try:
                server.ping("")
            except DagsterUserCodeUnreachableError as error:
                return "UNAVAILABLE" in str(error)  # gRPC's status where nothing listens; others mean a slow server
        return False


def check_run_lock(instance: dg.DagsterInstance, run: dg.DagsterRun) -> CheckRunHealthResult | None:
    """Return what the lock of a run says about its process; None if there is no lock, although it has had the time.

    Raises:
        LakeError: the lock can't be read.
    """
    state = probe_run_lock(instance, run.run_id)
    if state is LockState.FREE:
        return _build_failed("the process of this run")
    return RUNNING if state is LockState.HELD or _has_just_started(instance, run) else None


def is_of_command(run: dg.DagsterRun) -> bool:
    """Return whether a command executes the run in its own process.

    A run that a person starts from it in the UI inherits its tags. Unlike this one, it has the origin of its job, from which
    a launcher starts it.
    """
    return SHELL_TAG in run.tags and run.job_code_origin is None


def identify_process() -> str:
    """Return host and id of this process, the value of `SHELL_TAG`."""
    return f"{socket.gethostname()} {os.getpid()}"


def _has_just_started(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    record = instance.get_run_record_by_id(run.run_id)
    if record is None:
        return False
    started = record.start_time or record.create_timestamp.timestamp()
    return abs(time.time() - started) < MAX_SECONDS_WITHOUT_LOCK


def _is_lock_visible(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether a command's lock would be in this process's `DAGSTER_HOME`.

    With a log in a database, a command on another host has a `DAGSTER_HOME` of its own.
    """
    host = run.tags[SHELL_TAG].partition(" ")[0]
    return host == socket.gethostname() or isinstance(instance.event_log_storage, SqliteEventLogStorage)


def _build_failed(owner: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, f"{owner} has ended")
