"""Runs as a launcher starts them, in a process of their own, and requests that a test holds while one is stopped.

Belongs here: what every launcher's run needs. Not here: the launchers, and the services behind them (`distributed/`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from threading import Event
from typing import Any
from urllib.parse import urlencode

import dagster as dg
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._grpc.types import ExecuteRunArgs
from pydantic import SecretStr

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.partitions import add_accounts, build_partition_tags
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import RunningSandbox
from lms_pipeline.sandbox.faults.fault import Exchange, Fault
from lms_pipeline.settings import Settings

DEFINITIONS = "lms_pipeline.definitions"
ENTRY_POINT = [sys.executable, "-m", "dagster"]


def create_run(
    instance: dg.DagsterInstance,
    settings: Settings,
    partition: Partition,
    *,
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.DagsterRun:
    """Create a run of the daily job as the queue does; with `parent`, as the retry of that run, and with its `tags`."""
    assert partition.account_id is not None
    add_accounts(instance, [partition.account_id])
    return create_requested_run(instance, settings, {**build_partition_tags(partition), **(tags or {})}, parent=parent)


def create_requested_run(
    instance: dg.DagsterInstance,
    settings: Settings,
    tags: Mapping[str, str],
    *,
    parent: str | None = None,
    is_queued: bool = False,
) -> dg.DagsterRun:
    """Create the run that a request of the schedule or a sensor has the tags of; with `parent`, as the retry of that run.

    With `is_queued`, Dagster's daemon launches it, and retries it.
    """
    repository = RepositoryPythonOrigin(
        executable_path=sys.executable,
        code_pointer=ModuleCodePointer(DEFINITIONS, "defs"),
        container_image="lms-pipeline:test",
        entry_point=ENTRY_POINT,
    )
    return instance.create_run_for_job(
        build_defs(settings).resolve_job_def(DAILY_SNAPSHOT),
        tags=tags,
        parent_run_id=parent,
        root_run_id=parent,
        job_code_origin=JobPythonOrigin(DAILY_SNAPSHOT, repository),
        **(_build_queue_options() if is_queued else {}),
    )


def _build_queue_options() -> dict[str, Any]:
    """Build what the daemon needs to find the job of a run in its workspace, see `defs/workspace.yaml`."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=DEFINITIONS)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name="lms_pipeline")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), DAILY_SNAPSHOT)
    return {"status": dg.DagsterRunStatus.QUEUED, "remote_job_origin": origin}


def build_command(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Sequence[str]:
    """Build the command that executes a run, which Dagster's launchers give to a container."""
    assert run.job_code_origin is not None
    arguments = ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
    return arguments.get_command_args()


def build_environment(settings: Settings) -> dict[str, str]:
    """Build the environment of a process with these settings."""
    values = {str(field.alias): getattr(settings, name) for name, field in Settings.model_fields.items()}
    defaults = {str(field.alias): field.default for field in Settings.model_fields.values()}
    changed = {name: _format_value(value) for name, value in values.items() if value != defaults[name]}
    return {**os.environ, **changed}


def _format_value(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case date():  # an instant is one too
            return value.isoformat()
        case tuple():
            return ",".join(value)
        case _:
            return str(value)


def pop_requests(sandbox: RunningSandbox) -> list[str]:
    """Return the requests since the previous call."""
    requests = [f"{one.path}?{urlencode(one.query)}" for one in sandbox.requests()]
    sandbox.clear_counts()
    return requests


class HeldRequest:
    """Holds one request to the sandbox, the one after `after` others, from its arrival until `release`."""

    def __init__(self, sandbox: RunningSandbox, account_id: str, after: int) -> None:
        self.arrived = Event()
        self._released = Event()
        _HOLDERS[account_id] = self
        sandbox.fault(Held(account=account_id, after=after, times=1))

    def release(self) -> None:
        """Let the response go."""
        self._released.set()

    async def hold(self) -> None:
        self.arrived.set()
        await asyncio.to_thread(self._released.wait, 120)


_HOLDERS: dict[str | None, HeldRequest] = {}


class Held(Fault, frozen=True):
    """The response comes when the test releases it."""

    async def send(self, exchange: Exchange) -> None:
        """Wait for the test."""
        await _HOLDERS[self.account].hold()
        await exchange.send_as_usual()
