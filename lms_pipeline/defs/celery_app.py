"""The Celery app of the workers that execute runs: `celery -A lms_pipeline.defs.celery_app worker`.

Belongs here: what a worker needs besides Dagster's tasks. Not here: how runs reach it (`launching_celery.py`).
"""

# `dagster-celery worker start` would need a file with the addresses, which it writes into DAGSTER_HOME.

from __future__ import annotations

import os
import signal
from typing import Any

# no public name: lets Dagster decide when a signal ends a run, as in its own command for Kubernetes
from dagster._utils.interrupts import capture_interrupts

from lms_pipeline.defs.launching import MissingExtraError
from lms_pipeline.errors import SettingsError
from lms_pipeline.settings import Settings

try:
    from celery import Celery, Task
    from celery.signals import worker_shutting_down
    from celery.worker import state
    from dagster_celery.config import DEFAULT_CONFIG
    from dagster_celery.defaults import task_default_queue
    from dagster_celery.make_app import make_app
    from dagster_celery.tasks import create_execute_job_task, create_resume_job_task
except ModuleNotFoundError as error:
    raise MissingExtraError("A Celery worker", error) from None


class RunTask(Task):
    """A task that executes a run. SIGTERM interrupts the run, at any moment of it, and not the process."""

    def __call__(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - what a task of Dagster receives and returns
        """Execute the run. Dagster leaves SIGTERM ignored at the end, so its handler is restored."""
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with capture_interrupts():
                return super().__call__(*args, **options)
        finally:
            signal.signal(signal.SIGTERM, handler)


def build_app(settings: Settings) -> Celery:
    """Build the app with the addresses of the settings.

    Raises:
        SettingsError: an address is not set.
    """
    if settings.celery_broker is None or settings.celery_backend is None:
        name = "LMS_CELERY_BROKER" if settings.celery_broker is None else "LMS_CELERY_BACKEND"
        raise SettingsError(
            f"{name} is not set: a Celery worker needs the addresses that CeleryLauncher in dagster.yaml has, like "
            "redis://localhost:6379/0."
        )
    app = make_app(
        {
            "broker": settings.celery_broker.get_secret_value(),
            "backend": settings.celery_backend.get_secret_value(),
            "config_source": dict(DEFAULT_CONFIG),
            "task_default_queue": task_default_queue,
        }
    )
    app.conf.worker_disable_prefetch = True  # a worker takes no run that must wait while another worker is idle
    create_execute_job_task(app, base=RunTask)
    create_resume_job_task(app, base=RunTask)
    return app


@worker_shutting_down.connect
def interrupt_runs(**_details: object) -> None:
    """Interrupt the runs of a worker that is stopped: it would wait for their end, and be killed before it."""
    for request in tuple(state.active_requests):
        if request.worker_pid is not None:
            os.kill(request.worker_pid, signal.SIGTERM)


app = build_app(Settings.load())
