"""Runs whose process is stopped by SIGTERM, as by `systemctl stop` or when their pod is deleted."""

import signal
import subprocess

import dagster as dg
import pytest

# no public name: why a run failed; of an interrupted run it is UNEXPECTED_TERMINATION, which Dagster retries
from dagster._core.events import RunFailureReason

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.launched_runs import (
    HeldRequest,
    build_command,
    build_environment,
    create_run,
    pop_requests,
)

NORTH = Partition("north", DAY)


@pytest.fixture
def settings(settings, tmp_path):
    """Settings with which the sweep of `north` has three pages."""
    (tmp_path / "accounts.toml").write_text("[accounts.north]\npage_size = 1\n", "utf-8")
    return settings.model_copy(update={"accounts_file": tmp_path / "accounts.toml"})


def read_failure_reason(instance, run):
    (event,) = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    return event.event_log_entry.dagster_event.job_failure_data.failure_reason


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("passed", [0, 5])
def test_no_request_of_a_stopped_run_is_sent_again(passed, settings, instance, sandbox):
    request = HeldRequest(sandbox, "north", after=passed)
    run = create_run(instance, settings, NORTH)
    command, environment = build_command(instance, run), build_environment(settings)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert request.arrived.wait(60)
        process.send_signal(signal.SIGTERM)
        request.release()
        process.communicate(timeout=60)
    assert process.returncode == 1
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE
    assert read_failure_reason(instance, run) is RunFailureReason.UNEXPECTED_TERMINATION
    sent = pop_requests(sandbox)
    assert len(sent) == passed + 1
    (outcome,) = run_partitions(build_defs(settings), instance, [NORTH], [table.name for table in PULLED_TABLES])
    assert (outcome.error, outcome.enrollments) == (None, 3)
    assert set(sent) & set(pop_requests(sandbox)) == set()
