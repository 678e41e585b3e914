"""What Dagster's daemon does with runs under way, called by the tests: once, and without its pauses."""

from __future__ import annotations

import logging
from typing import Any, cast

import dagster as dg

# no public name: the check of a started run, which fails the run if its launcher says so
from dagster._core.workspace.context import BaseWorkspaceRequestContext
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

log = logging.getLogger(__name__)


def read_status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def monitor(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    """Check a run as the daemon does at each poll, and return its status afterwards."""
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    if record.dagster_run.status is dg.DagsterRunStatus.STARTED:
        no_workspace = cast(BaseWorkspaceRequestContext, None)  # only a run that is resumed needs one
        monitor_started_run(instance, no_workspace, record, log)
    return read_status(instance, run_id)


def launch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Launch a run as the queue does."""
    instance.launch_run(run.run_id, cast(BaseWorkspaceRequestContext, None))  # our launchers need no workspace


def wait_for_end(instance: dg.DagsterInstance, run: dg.DagsterRun, seconds: float = 120) -> None:
    """Wait until the Celery task of a run has ended."""
    launched = instance.get_run_by_id(run.run_id)
    assert launched is not None
    launcher: Any = instance.run_launcher
    launcher.celery.AsyncResult(launched.tags["dagster-celery/task_id"]).get(timeout=seconds, propagate=False)
