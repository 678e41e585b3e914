"""What runs on the machines of an installation: Celery workers, and single runs as a container executes them.

Belongs here: commands and their environment. Not here: machines (`machines.py`), and what the test process does itself.
"""

from __future__ import annotations

import os
import sys

import dagster as dg

from lms_pipeline.settings import Settings
from lms_pipeline_tests.distributed.machines import Machine, Process
from lms_pipeline_tests.support.launched_runs import build_command, build_environment

PASSED = ("LMS_", "TRUTO_", "PG", "AWS_", "AZURE_")
"""Beginnings of the variables that an operator sets on every machine."""

SECRETS = ("TRUTO_API_TOKEN", "LMS_STATE_URL", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "LMS_CELERY_BROKER")
NOTHING = "\0"


def build_machine_environment(settings: Settings) -> dict[str, str]:
    """Build the environment of every machine: nothing of this process but the variables of an operator."""
    mine = {name: value for name, value in build_environment(settings).items() if name.startswith(PASSED)}
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **mine}


def start_celery_worker(machine: Machine, *, concurrency: int = 1) -> Process:
    """Start a worker; its name is `celery@` and that of the machine."""
    command = [sys.executable, "-m", "celery", "-A", "lms_pipeline.defs.celery_app", "worker"]
    options = ["-n", f"celery@{machine.name}", "--concurrency", str(concurrency), "--loglevel", "INFO"]
    return machine.start([*command, *options])


def start_run(machine: Machine, instance: dg.DagsterInstance, run: dg.DagsterRun, **environment: str) -> Process:
    """Execute a run on a machine with the command that launchers give to a container."""
    return machine.start(build_command(instance, run), **environment)


def run_command(machine: Machine, *arguments: str, **environment: str) -> str:
    """Run `lms-pipeline` on a machine, and return its output."""
    program = "from lms_pipeline.cli import main; main()"
    return machine.run([sys.executable, "-c", program, *arguments], **environment)


def find_secrets(settings: Settings, text: str) -> list[str]:
    """Return the names of the secrets of the installation that a text holds."""
    environment = build_machine_environment(settings)
    return [name for name in SECRETS if environment.get(name, NOTHING) in text]
