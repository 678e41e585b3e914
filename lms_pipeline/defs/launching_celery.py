"""The run launcher for Celery: each run is a task, and a run whose worker is gone is found.

Belongs here: what a worker and the result backend say about a run. Not here: what a worker executes (`celery_app.py`).
"""

# A task of a worker that was killed stays STARTED in the result backend forever, and Dagster's launcher believes it. So
# the worker itself is asked. One answer proves little: a busy worker answers late, and one that reconnects not at all.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import dagster as dg

# no public names: what health checks return, and the options of a class in `dagster.yaml`
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData

from lms_pipeline.defs.launching import RUNNING, MissingExtraError, ShellRuns, is_of_command
from lms_pipeline.errors import SettingsError

try:
    from dagster_celery.launcher import CeleryRunLauncher
    from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG as TASK_ID_TAG
except ModuleNotFoundError as error:
    raise MissingExtraError("CeleryLauncher", error) from None

MAX_ANSWER_SECONDS = 5.0
"""Time that a worker has to answer."""
ENDED_STATES = frozenset({"FAILURE", "REVOKED"})
"""States of a task that need no question: Dagster's launcher reports the run as failed."""
RPC = "rpc://"
"""The result backend that sends states to the process that sent the task, and to no other."""


class CeleryLauncher(ShellRuns, CeleryRunLauncher):
    """Dagster's launcher for Celery, which also knows the runs of commands, and finds runs whose worker is gone.

    A run has failed when three checks in a row, over 60 seconds, found no worker that has its task.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Build the launcher from its options in `dagster.yaml`.

        Raises:
            SettingsError: the result backend keeps no state of runs.
        """
        backend = config_value.get("backend") or RPC
        if backend.startswith(RPC):  # Dagster's default
            raise SettingsError(
                "CeleryLauncher in dagster.yaml needs a result backend that keeps the states of runs: set `backend` to its "
                "address, like redis://localhost:6379/1."
            )
        launcher: Self = super().from_config_value(inst_data, config_value)
        return launcher

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check the state of the run's task; of a task that should be executed, ask the worker that has it."""
        if is_of_command(run):
            return super().check_run_worker_health(run)
        task_id = run.tags.get(TASK_ID_TAG)
        if task_id is None:
            return self._check_untagged(run)
        result = self.celery.AsyncResult(task_id)
        state, worker = result.state, _get_worker(result.info)
        if state in ENDED_STATES:
            self._missed.forget(task_id)
            return super().check_run_worker_health(run)
        if self._has_worker(task_id, worker):
            self._missed.forget(task_id)
        elif self._missed.add(task_id):
            self._missed.forget(task_id)
            owner = f"the Celery worker {worker} does not execute" if worker else "no Celery worker executes"
            return CheckRunHealthResult(WorkerStatus.FAILED, f"{owner} this run any more")
        return RUNNING

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Return what is known of the task of a failed run; None if it is not known which one that was."""
        return super().get_run_worker_debug_info(run, include_container_logs) if TASK_ID_TAG in run.tags else None

    def _check_untagged(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Check a run without the id of its task, by the task's arguments; if a worker has it, the run gets the id.

        The id is written once the task is sent: a fast worker may have begun before, or the daemon has died in between.
        """
        task_id = self._find_task(run.run_id)
        if task_id is not None:
            self._missed.forget(run.run_id)
            self._instance.add_run_tags(run.run_id, {TASK_ID_TAG: task_id})
        elif self._missed.add(run.run_id):
            self._missed.forget(run.run_id)
            return CheckRunHealthResult(WorkerStatus.FAILED, "no Celery worker executes this run any more")
        return RUNNING

    def terminate(self, run_id: str) -> bool:
        """Terminate a run. It ends as canceled: Dagster's launcher lets it fail, and a failed run is retried."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and TASK_ID_TAG in run.tags and not run.is_finished:
            self._instance.report_run_canceling(run)
        return super().terminate(run_id)

    def _has_worker(self, task_id: str, worker: str | None) -> bool:
        """Return whether the worker has the task, executed or still to come; without a worker, whether any has it."""
        inspect = self.celery.control.inspect([worker] if worker else None, timeout=MAX_ANSWER_SECONDS)
        answers = inspect.query_task(task_id) or {}
        return any(task_id in tasks for tasks in answers.values())

    def _find_task(self, run_id: str) -> str | None:
        """Return the id of the task that executes a run; None if no worker has one."""
        answers = self.celery.control.inspect(timeout=MAX_ANSWER_SECONDS).active() or {}
        found = (task["id"] for tasks in answers.values() for task in tasks if _is_of_run(task["kwargs"], run_id))
        return next(found, None)


def _is_of_run(arguments: Mapping[str, Any], run_id: str) -> bool:
    """Return whether the arguments of a task are those with which Dagster executes, or resumes, a run."""
    packed = [one for one in arguments.values() if isinstance(one, dict)]
    # Dagster stores the older name
    return any(run_id in {one.get("pipeline_run_id"), one.get("run_id")} for one in packed)


def _get_worker(info: object) -> str | None:
    """Return the name of the worker in the result of a started task."""
    return info.get("hostname") if isinstance(info, dict) else None
