"""A pull that loses its lock, while it stands still or while it works: one run publishes, and the other says why it does not."""

import signal

import pytest

from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.acceptance.nodes import start_run
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.s3_front import Fault
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.launched_runs import HeldRequest, create_run

pytestmark = pytest.mark.distributed
ACCOUNT = "a01"
PARTITION = Partition(ACCOUNT, DAY)
LOST = "is lost, since the database of LMS_STATE_URL ended the connection that held it: nothing was published"


@pytest.fixture
def account_ids():
    return [ACCOUNT]


@pytest.fixture
def start(instance, settings, machines):
    """Starts a pull on another machine, and returns the run and its process."""
    (machine,) = machines("first")

    def started():
        run = create_run(instance, settings, PARTITION)
        return run, start_run(machine, instance, run)

    return started


@pytest.fixture
def end_lock_of(state_url):
    """Ends the connection that holds the locks of a run, as a failover of the database does."""
    import psycopg2

    def ended(run):
        connection = psycopg2.connect(state_url)
        with connection, connection.cursor() as cursor:
            name = f"lms {run.run_id}"
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (name,)
            )
            assert cursor.rowcount == 1
        connection.close()

    return ended


def read_run_ids(settings):
    """Return the runs whose files of the pulled tables the store has."""
    data = DataDir.open(settings)
    paths = [data.file(table, PARTITION) for table in PULLED_TABLES]
    data.store.fetch([data.get_key(path) for path in paths])
    return {read_metadata(path)["run_id"] for path in paths if path.exists()}


def read_failure(instance, run):
    return str([entry.user_message for entry in instance.all_logs(run.run_id)])


def test_a_pull_whose_lock_was_lost_publishes_nothing_and_says_so(start, end_lock_of, settings, sandbox, s3, instance):
    request = HeldRequest(sandbox, ACCOUNT, after=2)
    run, process = start()
    assert request.arrived.wait(MAX_WAIT_SECONDS), process.read_log()
    end_lock_of(run)
    request.release()
    assert process.wait() != 0
    assert [path for method, path in s3.requests if method == "PUT" and path.endswith("/data.parquet")] == []
    assert LOST in read_failure(instance, run)


def test_of_a_pull_that_stood_still_and_the_one_that_took_over_the_second_publishes(
    start, end_lock_of, pull, settings, sandbox, instance
):
    request = HeldRequest(sandbox, ACCOUNT, after=2)
    run, process = start()
    assert request.arrived.wait(MAX_WAIT_SECONDS), process.read_log()
    process.send_signal(signal.SIGSTOP)
    assert "is being pulled by another run" in str(pull(ACCOUNT).error)
    end_lock_of(run)
    assert pull(ACCOUNT).error is None
    published = read_run_ids(settings)
    process.send_signal(signal.SIGCONT)
    request.release()
    assert process.wait() != 0
    assert read_run_ids(settings) == published
    assert len(published) == 1
    assert LOST in read_failure(instance, run)


@pytest.mark.parametrize("number", choose([1], [1, 4]))
def test_a_pull_that_stood_still_between_its_uploads_does_not_publish_over_the_one_that_took_over(
    number, start, end_lock_of, pull, settings, s3, instance
):
    fault = Fault("hold", method="PUT", match="/data.parquet", after=number - 1, is_done=True)
    s3.faults.append(fault)
    run, process = start()
    assert fault.arrived.wait(MAX_WAIT_SECONDS), process.read_log()
    process.send_signal(signal.SIGSTOP)
    end_lock_of(run)
    assert pull(ACCOUNT).error is None
    published = read_run_ids(settings)
    process.send_signal(signal.SIGCONT)
    fault.released.set()
    assert process.wait() != 0
    assert read_run_ids(settings) == published
    assert len(published) == 1
    assert "published by another run" in read_failure(instance, run)
