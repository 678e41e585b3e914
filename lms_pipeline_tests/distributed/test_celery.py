"""Runs as Celery tasks: a real worker on Redis, which is killed, stopped, or just busy."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import pytest

from lms_pipeline import lake
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.monitoring import launch, monitor, read_status, wait_for_end
from lms_pipeline_tests.distributed.services import PASSWORD
from lms_pipeline_tests.support.launched_runs import HeldRequest, build_environment, create_run, pop_requests

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.usefixtures("registry"),
    # Dagster's launcher registers its task again at each launch, as the same function
    pytest.mark.filterwarnings("ignore:Task name 'execute_job' is already registered"),
]
ROOT = Path(__file__).parents[2]
NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def instance(addresses, deploy):
    return deploy("celery")


def build_command(name):
    command = [sys.executable, "-m", "celery", "-A", "lms_pipeline.defs.celery_app", "worker", "-n", f"{name}@host"]
    return [*command, "--concurrency", "1", "--loglevel", "INFO"]


def start_cold(command, environment, log, folder):
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )


class Worker:
    """A worker with one process for runs."""

    def __init__(self, process, log):
        self.process = process
        self.log = log

    def kill(self):
        """Kill the worker with its processes, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def stop(self):
        """Begin to stop the worker as `docker stop` does."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """Wait until the worker has ended."""
        self.process.wait(60)


@pytest.fixture
def start_worker(instance, settings, tmp_path, preloaded):
    """Starts a worker as a fork of a process that has imported Dagster; with `is_cold`, with its own command."""
    with ExitStack() as stack:

        def started(name="first", *, is_cold=False):
            log = tmp_path / f"{name}.log"
            start = start_cold if is_cold else preloaded.start
            worker = Worker(start(build_command(name), build_environment(settings), log, ROOT), log)
            stack.enter_context(_ending(worker))
            return worker

        yield started


@contextmanager
def _ending(worker):
    yield
    if worker.process.poll() is None:
        worker.kill()


@pytest.fixture
def start(instance, settings):
    """Launches a run."""

    def started(partition):
        run = create_run(instance, settings, partition)
        launch(instance, run)
        return run

    return started


@pytest.fixture
def _no_span(monkeypatch):
    """Three misses in a row are enough, however short their time is."""
    monkeypatch.setattr("lms_pipeline.defs.missed_checks.MIN_MISSED_SECONDS", 0)


def test_runs_of_two_accounts_are_published(start, start_worker, instance, settings, sandbox):
    start_worker(is_cold=True)
    runs = [start(partition) for partition in (NORTH, SOUTH)]
    for run in runs:
        wait_for_end(instance, run)
        assert read_status(instance, run.run_id) is dg.DagsterRunStatus.SUCCESS
    rows = lake.read("account_completion", data_dir=settings.data_dir).to_pylist()
    assert {row["account_id"]: row["n_all"] for row in rows} == {"north": 3, "south": 1}
    requests = pop_requests(sandbox)
    assert len(requests) == len(set(requests))


@pytest.mark.usefixtures("_no_span")
def test_a_busy_worker_is_no_false_alarm(start, start_worker, instance, sandbox):
    start_worker()
    request = HeldRequest(sandbox, "north", after=2)
    run = start(NORTH)
    assert request.arrived.wait(60)
    assert {monitor(instance, run.run_id) for _ in range(20)} == {STARTED}
    request.release()
    wait_for_end(instance, run)
    assert read_status(instance, run.run_id) is dg.DagsterRunStatus.SUCCESS


@pytest.mark.usefixtures("_no_span")
def test_a_killed_worker_is_found_at_the_third_poll(start, start_worker, instance, settings, sandbox, monkeypatch):
    monkeypatch.setattr("lms_pipeline.defs.launching_celery.MAX_ANSWER_SECONDS", 0.5)
    worker = start_worker()
    request = HeldRequest(sandbox, "north", after=2)
    run = start(NORTH)
    assert request.arrived.wait(60)
    worker.kill()
    request.release()
    assert [monitor(instance, run.run_id) for _ in range(3)] == [STARTED, STARTED, FAILURE]
    assert "the Celery worker first@host does not execute this run any more" in str(instance.all_logs(run.run_id))
    sent = pop_requests(sandbox)
    start_worker("second")
    retry = create_run(instance, settings, NORTH, parent=run.run_id)
    launch(instance, retry)
    wait_for_end(instance, retry)
    assert read_status(instance, retry.run_id) is dg.DagsterRunStatus.SUCCESS
    assert len(set(sent) & set(pop_requests(sandbox))) <= 1  # the one that was under way


def test_misses_of_less_than_a_minute_are_no_failure(start, start_worker, instance, sandbox, monkeypatch):
    monkeypatch.setattr("lms_pipeline.defs.launching_celery.MAX_ANSWER_SECONDS", 0.1)
    worker = start_worker()
    request = HeldRequest(sandbox, "north", after=0)
    run = start(NORTH)
    assert request.arrived.wait(60)
    worker.kill()
    request.release()
    assert {monitor(instance, run.run_id) for _ in range(5)} == {STARTED}


class TestARunWithoutTheIdOfItsTask:
    """The daemon that sent the task has died before it stored the id."""

    @pytest.fixture
    def start(self, start, instance, monkeypatch):
        """Launches a run whose task is sent, and no more."""

        def started(partition):
            with monkeypatch.context() as patch:
                patch.setattr(instance, "add_run_tags", lambda *_: None)
                return start(partition)

        return started

    def test_is_alive_and_gets_it_while_a_worker_executes_it(self, start, start_worker, instance, sandbox):
        start_worker()
        request = HeldRequest(sandbox, "north", after=2)
        run = start(NORTH)
        assert request.arrived.wait(60)
        assert monitor(instance, run.run_id) is STARTED
        request.release()
        wait_for_end(instance, run)
        assert read_status(instance, run.run_id) is dg.DagsterRunStatus.SUCCESS

    @pytest.mark.usefixtures("_no_span")
    def test_has_failed_at_the_third_poll_after_its_worker_was_killed(
        self, start, start_worker, instance, sandbox, monkeypatch
    ):
        monkeypatch.setattr("lms_pipeline.defs.launching_celery.MAX_ANSWER_SECONDS", 0.5)
        worker = start_worker()
        request = HeldRequest(sandbox, "north", after=2)
        run = start(NORTH)
        assert request.arrived.wait(60)
        worker.kill()
        request.release()
        assert [monitor(instance, run.run_id) for _ in range(3)] == [STARTED, STARTED, FAILURE]
        assert "no Celery worker executes this run any more" in str(instance.all_logs(run.run_id))


def test_a_killed_process_of_a_worker_is_found_at_once(start, start_worker, instance, sandbox):
    worker = start_worker()
    request = HeldRequest(sandbox, "north", after=2)
    run = start(NORTH)
    assert request.arrived.wait(60)
    (child,) = read_children(worker.process.pid)
    os.kill(child, signal.SIGKILL)
    request.release()
    wait_for_end(instance, run)
    assert monitor(instance, run.run_id) is FAILURE


def read_children(pid):
    """Return the processes that a process started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


def test_no_request_of_a_stopped_worker_is_sent_again(start, start_worker, instance, settings, sandbox):
    worker = start_worker()
    request = HeldRequest(sandbox, "north", after=2)
    run = start(NORTH)
    assert request.arrived.wait(60)
    worker.stop()
    request.release()
    worker.wait()
    assert read_status(instance, run.run_id) is FAILURE
    assert "Execution was interrupted unexpectedly" in str(instance.all_logs(run.run_id))
    sent = pop_requests(sandbox)
    (outcome,) = run_partitions(build_defs(settings), instance, [NORTH])
    assert (outcome.error, outcome.enrollments) == (None, 3)
    assert set(sent) & set(pop_requests(sandbox)) == set()


def test_a_run_that_a_person_stops_is_canceled_and_not_retried(start, start_worker, instance, sandbox):
    worker = start_worker()
    request = HeldRequest(sandbox, "north", after=2)
    run = start(NORTH)
    assert request.arrived.wait(60)
    assert instance.run_launcher.terminate(run.run_id)
    wait_for_end(instance, run)  # Celery calls the task revoked as soon as its process has the signal
    request.release()
    worker.stop()
    worker.wait()
    assert read_status(instance, run.run_id) is dg.DagsterRunStatus.CANCELED


def test_a_result_backend_that_keeps_no_states_is_refused(addresses, deploy):
    with pytest.raises(SettingsError, match=r"^CeleryLauncher in dagster\.yaml needs a result backend .*\.$"):
        deploy("celery", backend="rpc://").run_launcher  # noqa: B018 - it is built when it is used


def test_neither_logs_nor_events_hold_a_password(start, start_worker, instance, settings):
    worker = start_worker()
    run = start(NORTH)
    wait_for_end(instance, run)
    worker.stop()
    worker.wait()
    texts = {
        "the launcher": repr(instance.run_launcher),
        "what a worker receives": str(instance.get_ref()),
        "the log of the worker": worker.log.read_text("utf-8"),
        "the events of the run": str(instance.all_logs(run.run_id)),
    }
    assert "Task execute_job" in texts["the log of the worker"]
    assert [name for name, text in texts.items() if PASSWORD in text or settings.require_token() in text] == []


@pytest.mark.parametrize("missing", ["LMS_CELERY_BROKER", "LMS_CELERY_BACKEND"])
def test_a_worker_without_an_address_says_so(extra, addresses, missing):
    environment = {name: value for name, value in os.environ.items() if name != missing}
    command = [sys.executable, "-c", "import lms_pipeline.defs.celery_app"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
    assert f"{missing} is not set: a Celery worker needs" in done.stderr.splitlines()[-1]
