"""Runs of commands on the instance of each launcher: run monitoring leaves them in peace, and finds their end."""

import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs import run_sessions
from lms_pipeline.defs.failures import SHELL_TAG
from lms_pipeline.defs.launching import identify_process
from lms_pipeline.defs.missed_checks import MIN_MISSES
from lms_pipeline.defs.run_sessions import has_run_session, open_database, run_session
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.kubernetes_api import serve_cluster
from lms_pipeline_tests.distributed.monitoring import monitor, read_status
from lms_pipeline_tests.support.launched_runs import HeldRequest, build_environment

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("registry")]
LAUNCHERS = ["celery", "docker", "k8s"]
MATERIALIZE = "import sys; from lms_pipeline import cli; sys.argv = ['lms-pipeline', *sys.argv[1:]]; cli.main()"


def start_no_pod(*_arguments):
    pytest.fail("A command executes its run itself.")


@pytest.fixture(params=LAUNCHERS)
def instance(request, deploy, tmp_path, monkeypatch):
    """An instance with each launcher. No service is behind it: none must be asked about the run of a command."""
    if request.param == "k8s":
        with serve_cluster({}, start_no_pod) as cluster:
            path = cluster.write_config(tmp_path / "kubeconfig")
            yield deploy("k8s", load_incluster_config=False, kubeconfig_file=str(path))
            return
    monkeypatch.setenv("LMS_CELERY_BROKER", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("LMS_CELERY_BACKEND", "redis://127.0.0.1:1/1")
    yield deploy(request.param)


@pytest.fixture
def start(instance, settings):
    """Creates a started run as a command does."""
    job = build_defs(settings).resolve_job_def("daily_snapshot")

    def started(process):
        return instance.create_run_for_job(job, tags={SHELL_TAG: process}, status=dg.DagsterRunStatus.STARTED)

    return started


@pytest.fixture
def _long_ago(monkeypatch):
    monkeypatch.setattr("lms_pipeline.defs.launching.MAX_SECONDS_WITHOUT_LOCK", 0)


@pytest.mark.usefixtures("_long_ago")
def test_the_run_of_a_command_is_found_when_it_is_killed_and_not_before(instance, settings, sandbox):
    request = HeldRequest(sandbox, "north", after=2)
    command = [sys.executable, "-c", MATERIALIZE, "materialize", "--account", "north", "--date", DAY.isoformat()]
    environment = build_environment(settings)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert request.arrived.wait(60)
        (run,) = instance.get_runs()
        assert {monitor(instance, run.run_id) for _ in range(20)} == {dg.DagsterRunStatus.STARTED}
        os.kill(process.pid, signal.SIGKILL)
    request.release()
    assert monitor(instance, run.run_id) is dg.DagsterRunStatus.FAILURE


@pytest.mark.usefixtures("_long_ago")
@pytest.mark.parametrize(
    ("process", "expected"),
    [(identify_process(), dg.DagsterRunStatus.FAILURE), ("elsewhere.example.org 4194304", dg.DagsterRunStatus.STARTED)],
    ids=["this host", "another host"],
)
def test_a_command_on_another_host_whose_lock_is_not_here_may_be_alive(start, instance, process, expected):
    run = start(process)
    assert monitor(instance, run.run_id) is expected


class TestACommandOnAnotherHost:
    """Its lock is not here: it is alive while it has a session in the database of LMS_STATE_URL."""

    HOLD = """
import os
import sys
from pydantic import SecretStr
from lms_pipeline.defs.run_sessions import run_session
from lms_pipeline.storage.postgres import Database
with run_session(Database(SecretStr(os.environ["LMS_STATE_URL"])), sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
    """A process that holds the session of a run until it ends or is killed."""

    @pytest.fixture(autouse=True)
    def _settings(self, state_url, monkeypatch):
        monkeypatch.setenv("LMS_STATE_URL", state_url)
        monkeypatch.setattr("lms_pipeline.defs.missed_checks.MIN_MISSED_SECONDS", 0)
        monkeypatch.setattr("lms_pipeline.defs.launching.MAX_SECONDS_WITHOUT_LOCK", 0)

    @pytest.fixture
    def run(self, start):
        return start("elsewhere.example.org 77")

    def test_is_found_when_it_is_killed_and_not_before(self, instance, run):
        command = [sys.executable, "-c", self.HOLD, run.run_id]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert {monitor(instance, run.run_id) for _ in range(20)} == {dg.DagsterRunStatus.STARTED}
            process.kill()
        assert [monitor(instance, run.run_id) for _ in range(3)][-1] is dg.DagsterRunStatus.FAILURE

    def test_is_not_ended_by_a_check_that_misses_it_once(self, instance, run):
        missed = [monitor(instance, run.run_id) for _ in range(MIN_MISSES - 1)]
        with run_session(open_database(), run.run_id):
            found = monitor(instance, run.run_id)
        missed += [monitor(instance, run.run_id) for _ in range(MIN_MISSES - 1)]
        assert {found, *missed} == {dg.DagsterRunStatus.STARTED}

    def test_gets_its_session_back_after_the_server_ended_it(self, run, monkeypatch):
        monkeypatch.setattr(run_sessions, "CHECK_SECONDS", 0.01)
        state = open_database()
        assert state is not None
        with run_session(state, run.run_id):
            end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s"
            assert state.query(end, [f"lms {run.run_id}"]) == [(True,)]
            deadline = time.monotonic() + 60
            while not has_run_session(state, run.run_id):
                assert time.monotonic() < deadline
        while has_run_session(state, run.run_id):  # the server ends a closed connection after a moment
            assert time.monotonic() < deadline


def test_the_run_of_a_command_is_ended_by_its_command_only(start, instance):
    run = start(identify_process())
    assert not instance.run_launcher.terminate(run.run_id)
    assert f"end the process {identify_process()}" in instance.all_logs(run.run_id)[-1].message
    assert read_status(instance, run.run_id) is dg.DagsterRunStatus.STARTED
