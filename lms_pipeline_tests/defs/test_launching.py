"""Runs whose process has died with its server, as after a power cut."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import grpc
import pytest
from dagster._core.launcher import WorkerStatus

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import SHELL_TAG
from lms_pipeline.defs.instance import rebuild_warehouse, run_partitions
from lms_pipeline.defs.launching import LocalRunLauncher, identify_process
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY


@pytest.fixture
def health(settings, instance):
    """Checks the health of a started run with these tags: status and message."""

    def check(**tags):
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        result = instance.run_launcher.check_run_worker_health(run)
        return result.status, result.msg

    return check


@pytest.fixture
def ended():
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_a_new_installation_monitors_its_runs(instance):
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert instance.run_monitoring_enabled


def test_a_run_whose_server_has_ended_has_failed(health, tmp_path):
    server = {"host": "localhost", "socket": str(tmp_path / "gone")}
    result = health(**{".dagster/grpc_info": json.dumps(server)})
    assert result == (WorkerStatus.FAILED, "the server that started it has ended")


def test_a_run_whose_server_is_alive_is_running(health):
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        info = {"host": "127.0.0.1", "port": port}
        assert health(**{".dagster/grpc_info": json.dumps(info)}) == (WorkerStatus.RUNNING, None)
    finally:
        server.stop(None).wait()


def test_a_run_whose_command_was_killed_has_failed(health, ended):
    result = health(**{SHELL_TAG: f"{socket.gethostname()} {ended}"})
    assert result == (WorkerStatus.FAILED, "the command that started it has ended")


def test_a_run_whose_command_is_alive_is_running(health):
    assert health(**{SHELL_TAG: identify_process()}) == (WorkerStatus.RUNNING, None)


def test_a_run_of_a_command_on_another_host_counts_as_running(health, ended):
    assert health(**{SHELL_TAG: f"elsewhere.example.org {ended}"}) == (WorkerStatus.RUNNING, None)


def test_a_run_without_tags_counts_as_running(health):
    assert health() == (WorkerStatus.RUNNING, None)


def test_runs_of_commands_are_tagged_with_their_process(settings, instance, registry):
    defs = build_defs(settings)
    list(run_partitions(defs, instance, [Partition("north", DAY)]))
    rebuild_warehouse(defs, instance)
    assert [run.tags[SHELL_TAG] for run in instance.get_runs()] == [identify_process()] * 2
