"""Runs whose process has died with its server or its container, as after a power cut."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import grpc
import pytest
from dagster._core.launcher import WorkerStatus

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import SHELL_TAG, convert_errors
from lms_pipeline.defs.instance import rebuild_warehouse, run_partitions
from lms_pipeline.defs.launching import LocalRunLauncher, identify_process
from lms_pipeline.defs.run_locks import LockState, find_ended_run_locks, hold_run_lock, probe_run_lock, run_lock
from lms_pipeline.lake.paths import Partition
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.launched_runs import create_run

HOLD = """
import sys
from types import SimpleNamespace
from lms_pipeline.defs.run_locks import hold_run_lock
active = SimpleNamespace(is_finished=False)
instance = SimpleNamespace(root_directory=sys.argv[1], get_run_by_id=lambda _run_id: active)
for run_id in sys.argv[2:]:
    hold_run_lock(instance, run_id)
print("held", flush=True)
sys.stdin.read()
"""
"""A process that holds the locks of runs until it is killed."""
MISSING_COMMAND = (WorkerStatus.FAILED, "the command that started it has ended")
MISSING_SERVER = (WorkerStatus.FAILED, "the server that started it has ended")
MISSING_PROCESS = (WorkerStatus.FAILED, "the process of this run has ended")
ALIVE = (WorkerStatus.RUNNING, None)


@contextmanager
def holding(instance, *runs):
    """Run a process that holds the locks of runs, and kill it."""
    command = [sys.executable, "-c", HOLD, instance.root_directory, *(run.run_id for run in runs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def start(settings, instance):
    """Creates a started run with these tags."""
    job = build_defs(settings).resolve_job_def("daily_snapshot")

    def started(**tags):
        return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)

    return started


@pytest.fixture
def check(instance):
    """Checks the health of a run: status and message."""

    def checked(run):
        result = instance.run_launcher.check_run_worker_health(run)
        return result.status, result.msg

    return checked


@pytest.fixture
def long_ago(monkeypatch):
    """Every run has started long ago."""
    monkeypatch.setattr("lms_pipeline.defs.launching.MAX_SECONDS_WITHOUT_LOCK", 0)


@pytest.fixture(scope="module")
def server():
    """The address of a code server that is alive."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield {"host": "127.0.0.1", "port": port}
    server.stop(None).wait()


@pytest.fixture
def tags_of_starters(tmp_path, server):
    """What Dagster or a command wrote about the process of a run, which says nothing about its life."""
    gone = {"host": "localhost", "socket": str(tmp_path / "gone")}
    return {
        "this command": {SHELL_TAG: identify_process()},
        "a command whose number is another process's": {SHELL_TAG: f"{socket.gethostname()} 1"},
        "a command elsewhere": {SHELL_TAG: "elsewhere.example.org 4194304"},
        "server": {".dagster/grpc_info": json.dumps(server)},
        "gone": {".dagster/grpc_info": json.dumps(gone)},
        "none": {},
    }


@pytest.fixture
def runs(start, tags_of_starters):
    """A started run of each starter."""
    return {starter: start(**tags) for starter, tags in tags_of_starters.items()}


def test_a_new_installation_monitors_its_runs(instance):
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert instance.run_monitoring_enabled


@pytest.mark.usefixtures("long_ago")
def test_a_run_lives_as_long_as_the_process_that_holds_its_lock(check, instance, runs):
    with holding(instance, *runs.values()):
        assert {starter: check(run) for starter, run in runs.items()} == dict.fromkeys(runs, ALIVE)
    assert {starter: check(run) for starter, run in runs.items()} == dict.fromkeys(runs, MISSING_PROCESS)


@pytest.mark.usefixtures("long_ago")
def test_a_run_without_a_lock_has_failed_if_what_started_it_has_ended(check, runs):
    assert {starter: check(run) for starter, run in runs.items()} == {
        "this command": MISSING_COMMAND,
        "a command whose number is another process's": MISSING_COMMAND,
        "a command elsewhere": MISSING_COMMAND,
        "server": ALIVE,
        "gone": MISSING_SERVER,
        "none": ALIVE,
    }


def test_a_run_without_a_lock_is_alive_while_its_process_starts(check, runs):
    assert {starter: check(run) for starter, run in runs.items()} == dict.fromkeys(runs, ALIVE)


def test_other_runs_of_one_process_do_not_keep_a_run_alive(start, check, instance):
    first, second = start(), start()
    hold_run_lock(instance, first.run_id)
    instance.report_run_canceled(instance.get_run_by_id(first.run_id))
    with run_lock(instance, second.run_id):
        assert check(second) == ALIVE
        assert check(first) == ALIVE  # without a lock and without a server: nothing is known
    assert list(find_ended_run_locks(instance)) == []


def test_a_run_of_ours_holds_its_lock_from_its_first_step_on(settings, instance, registry, monkeypatch):
    found = []

    def watch(job, **_more):
        run = instance.get_run_by_id(job.run_id)
        found.append(instance.run_launcher.check_run_worker_health(run).status)
        raise NotKeptError("Nothing is kept.")

    monkeypatch.setattr("lms_pipeline.snapshot.run.take_snapshot", watch)
    monkeypatch.setattr("lms_pipeline.defs.launching.MAX_SECONDS_WITHOUT_LOCK", 0)
    list(run_partitions(build_defs(settings), instance, [Partition("north", DAY)], ["learners"]))
    assert found == [WorkerStatus.RUNNING]
    assert list(Path(instance.root_directory, "run_locks").iterdir()) == []


@pytest.mark.parametrize(
    ("executor", "expected"), [(dg.in_process_executor, LockState.HELD), (dg.multiprocess_executor, LockState.MISSING)]
)
def test_a_step_in_a_process_of_its_own_says_nothing_about_its_run(start, instance, executor, expected):
    run = start()
    context = SimpleNamespace(instance=instance, run=run, job_def=SimpleNamespace(executor_def=executor))
    with convert_errors(context):  # type: ignore[arg-type] # what it needs of a context
        assert probe_run_lock(instance, run.run_id) is expected


def test_housekeeping_removes_the_locks_of_ended_runs_only(start, instance):
    ended, dead, deleted = start(), start(), start()
    with holding(instance, ended, dead, deleted):
        assert list(find_ended_run_locks(instance)) == []
    instance.report_run_failed(ended)
    instance.delete_run(deleted.run_id)
    assert {item.path.stem for item in find_ended_run_locks(instance)} == {ended.run_id, deleted.run_id}


def test_runs_of_commands_are_tagged_with_their_process(settings, instance, registry):
    defs = build_defs(settings)
    list(run_partitions(defs, instance, [Partition("north", DAY)], ["learners"]))
    rebuild_warehouse(defs, instance)
    assert [run.tags[SHELL_TAG] for run in instance.get_runs()] == [identify_process()] * 2


@pytest.mark.usefixtures("long_ago")
@pytest.mark.parametrize(
    ("process", "expected"),
    [(identify_process(), MISSING_COMMAND), ("elsewhere.example.org 4194304", ALIVE)],
    ids=["this host", "another host"],
)
def test_a_lock_on_another_host_is_not_seen_if_the_log_is_in_a_database(start, check, monkeypatch, process, expected):
    monkeypatch.setattr("lms_pipeline.defs.launching.SqliteEventLogStorage", type(None))
    assert check(start(**{SHELL_TAG: process})) == expected


def test_the_run_of_a_command_can_not_be_terminated(start, instance):
    run = start(**{SHELL_TAG: "host.example.org 77"})
    assert not instance.run_launcher.terminate(run.run_id)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED
    assert instance.all_logs(run.run_id)[-1].message.endswith(
        "A command executes this run: end the process host.example.org 77."
    )


@pytest.mark.usefixtures("long_ago")
def test_a_run_that_repeats_the_run_of_a_command_is_its_launchers(settings, instance, check):
    run = create_run(instance, settings, Partition("north", DAY), tags={SHELL_TAG: identify_process()})
    assert check(run) == ALIVE  # without a lock and without a server: nothing is known
    instance.run_launcher.terminate(run.run_id)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.CANCELING
