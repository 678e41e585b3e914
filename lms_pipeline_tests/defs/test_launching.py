"""Runs that nobody is at any more, as after a power cut."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import grpc
import pytest
from dagster._core.launcher.base import WorkerStatus

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import FROM_A_SHELL
from lms_pipeline.defs.instance import rebuild_warehouse, run_partitions
from lms_pipeline.defs.launching import LocalRunLauncher, this_process
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY


@pytest.fixture
def health(settings, instance):
    """How a run with these tags is, which has started and not ended."""

    def asked(**tags):
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        told = instance.run_launcher.check_run_worker_health(run)
        return told.status, told.msg

    return asked


@pytest.fixture
def ended():
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_a_new_installation_looks_after_its_runs(instance):
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert instance.run_monitoring_enabled


def test_a_run_whose_server_has_ended_is_lost(health, tmp_path):
    server = {"host": "localhost", "socket": str(tmp_path / "gone")}
    told = health(**{".dagster/grpc_info": json.dumps(server)})
    assert told == (WorkerStatus.FAILED, "the server that started it has ended")


def test_a_run_whose_server_is_there_is_left_to_it(health):
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        info = {"host": "127.0.0.1", "port": port}
        assert health(**{".dagster/grpc_info": json.dumps(info)}) == (WorkerStatus.RUNNING, None)
    finally:
        server.stop(None).wait()


def test_a_run_of_a_command_that_was_killed_is_lost(health, ended):
    told = health(**{FROM_A_SHELL: f"{socket.gethostname()} {ended}"})
    assert told == (WorkerStatus.FAILED, "the command that made it has ended")


def test_a_run_of_a_command_that_goes_on_is_not(health):
    assert health(**{FROM_A_SHELL: this_process()}) == (WorkerStatus.RUNNING, None)


def test_of_a_command_on_another_host_nothing_is_known(health, ended):
    assert health(**{FROM_A_SHELL: f"elsewhere.example.org {ended}"}) == (WorkerStatus.RUNNING, None)


def test_a_run_that_nobody_knows_about_is_left_alone(health):
    assert health() == (WorkerStatus.RUNNING, None)


def test_commands_tell_which_process_they_are(settings, instance, registry):
    defs = build_defs(settings)
    list(run_partitions(defs, instance, [Partition("north", DAY)]))
    rebuild_warehouse(defs, instance)
    assert [run.tags[FROM_A_SHELL] for run in instance.get_runs()] == [this_process()] * 2
