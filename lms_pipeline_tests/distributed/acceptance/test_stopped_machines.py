"""Machines that are stopped as operators and Kubernetes stop them: what was received is stored, and not requested again."""

import signal

import pytest

from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.acceptance.nodes import start_celery_worker, start_run
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.monitoring import launch
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.launched_runs import HeldRequest, create_run, pop_requests

pytestmark = pytest.mark.distributed
ACCOUNT = "a01"
PARTITION = Partition(ACCOUNT, DAY)


@pytest.fixture
def account_ids():
    return [ACCOUNT]


@pytest.mark.parametrize("after", choose([2], [0, 2]))
def test_no_response_of_a_stopped_run_is_requested_again_elsewhere(after, instance, settings, machines, sandbox, pull):
    (machine,) = machines("first")
    request = HeldRequest(sandbox, ACCOUNT, after=after)
    process = start_run(machine, instance, create_run(instance, settings, PARTITION))
    assert request.arrived.wait(MAX_WAIT_SECONDS), process.read_log()
    process.send_signal(signal.SIGTERM)
    request.release()
    assert process.wait() != 0
    sent = pop_requests(sandbox)
    assert len(sent) > after
    assert pull(ACCOUNT).error is None
    assert set(sent) & set(pop_requests(sandbox)) == set()


class TestACeleryWorker:
    pytestmark = pytest.mark.filterwarnings("ignore:Task name 'execute_job' is already registered")

    @pytest.fixture
    def instance(self, addresses, deploy):
        return deploy("celery")

    def test_that_is_stopped_leaves_every_response_to_another_machine(
        self, instance, settings, machines, sandbox, pull
    ):
        (machine,) = machines("first")
        worker = start_celery_worker(machine)
        request = HeldRequest(sandbox, ACCOUNT, after=2)
        launch(instance, create_run(instance, settings, PARTITION))
        assert request.arrived.wait(MAX_WAIT_SECONDS), worker.read_log()
        worker.send_signal(signal.SIGTERM)
        request.release()
        worker.wait()
        sent = pop_requests(sandbox)
        assert len(sent) > 2
        assert pull(ACCOUNT).error is None
        assert set(sent) & set(pop_requests(sandbox)) == set()
