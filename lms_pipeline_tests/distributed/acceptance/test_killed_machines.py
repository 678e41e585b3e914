"""Dagster's own daemon on one machine and a worker on another, both killed: what starts in their place ends the night."""

import sys
from pathlib import Path
from threading import Event
from time import monotonic

import dagster as dg
import msgspec
import pytest

import lms_pipeline.defs
from lms_pipeline.defs.partitions import add_accounts, build_partition_tags
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.acceptance.nodes import start_celery_worker
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.monitoring import read_status
from lms_pipeline_tests.support.launched_runs import HeldRequest, create_requested_run, pop_requests

pytestmark = pytest.mark.distributed
ACCOUNT = "a01"
WORKSPACE = Path(lms_pipeline.defs.__file__).with_name("workspace.yaml")
POLL_SECONDS = 1


@pytest.fixture
def account_ids():
    return [ACCOUNT]


@pytest.fixture
def instance(addresses, deploy):
    return deploy("celery")


def start_daemon(machine):
    """Start Dagster's daemon with the configuration of the installation, and short pauses."""
    path = machine.dagster_home / "dagster.yaml"
    config = msgspec.yaml.decode(path.read_bytes())
    config["run_monitoring"]["poll_interval_seconds"] = POLL_SECONDS
    config["run_queue"]["dequeue_interval_seconds"] = POLL_SECONDS
    path.write_bytes(msgspec.yaml.encode(config))
    return machine.start([str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", str(WORKSPACE)])


def wait_for(status, instance, run_id):
    """Look at a run until it has a status."""
    started = monotonic()
    while read_status(instance, run_id) is not status:
        assert monotonic() - started < MAX_WAIT_SECONDS
        Event().wait(POLL_SECONDS)


def wait_for_retry(instance, run):
    """Wait until the daemon has created the retry of a run, and return it."""
    started = monotonic()
    while not (found := instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}))):
        assert monotonic() - started < MAX_WAIT_SECONDS
        Event().wait(POLL_SECONDS)
    return found[0]


def test_the_run_of_a_killed_worker_is_found_and_retried_by_a_daemon_that_was_killed_too(
    instance, settings, machines, sandbox
):
    control, first, second = machines("control", "first", "second")
    add_accounts(instance, [ACCOUNT])
    request = HeldRequest(sandbox, ACCOUNT, after=2)
    tags = build_partition_tags(Partition(ACCOUNT, DAY))
    run = create_requested_run(instance, settings, tags, is_queued=True)
    start_celery_worker(first)
    daemon = start_daemon(control)
    assert request.arrived.wait(MAX_WAIT_SECONDS), daemon.read_log()
    daemon.kill()
    first.kill()
    request.release()
    sent = pop_requests(sandbox)
    start_daemon(control)
    start_celery_worker(second)
    wait_for(dg.DagsterRunStatus.FAILURE, instance, run.run_id)
    retry = wait_for_retry(instance, run)
    wait_for(dg.DagsterRunStatus.SUCCESS, instance, retry.run_id)
    assert len(set(sent) & set(pop_requests(sandbox))) <= 4  # the calls since the last copy of the checkpoint
