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
            return RUNNING  # the tag is written once the task is sent; a fast worker may have begun before
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


def _get_worker(info: object) -> str | None:
    """Return the name of the worker in the result of a started task."""
    return info.get("hostname") if isinstance(info, dict) else None
