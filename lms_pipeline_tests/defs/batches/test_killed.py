"""A run of several accounts whose process dies, and its retry."""

import os
import signal
import subprocess
import sys

import pytest
from dagster._core.launcher import WorkerStatus

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import WILL_RETRY_TAG
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.defs.batches.conftest import (
    FEW,
    NAMES,
    RETRY,
    build_range,
    build_registry,
    find_failed,
    find_materialized,
    find_published,
    find_requested,
    find_sentence,
    read_check_states,
)
from lms_pipeline_tests.defs.conftest import DAY, NOW
from lms_pipeline_tests.defs.test_alerts import evaluate_sensor
from lms_pipeline_tests.defs.test_automation import tick
from lms_pipeline_tests.support.full import choose

ACCOUNTS = [f"a{number:02}" for number in range(1, choose(5, 14) + 1)]
REFUSED = choose(["a02", "a03"], ["a03", "a11"])
KILLING = choose("a04", "a12")


@pytest.fixture
def registry(settings):
    return build_registry(settings, ACCOUNTS)


class TestAKilledBatch:
    """`REFUSED` fail for good, and `KILLING`, with others after it, kills the process once."""

    @pytest.fixture
    def first(self, settings, instance, sandbox, repository, registry):
        """The run that the schedule requests, after a signal that no process can catch."""
        sandbox.fault(*(Status(status=403, account=account) for account in REFUSED))
        [request] = tick(repository, instance).run_requests
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        run = instance.create_run_for_job(job, tags=request.tags)
        environment = {
            "TRUTO_BASE_URL": sandbox.url,
            "TRUTO_API_TOKEN": sandbox.token,
            "LMS_DATA_DIR": str(settings.data_dir),
            "LMS_START_DATE": str(settings.start_date),
            "LMS_NOW": NOW.isoformat(),
            "LMS_ACCOUNTS_PER_RUN": "25",
            "DAGSTER_HOME": str(settings.dagster_home),
        }
        command = [sys.executable, "-m", "lms_pipeline_tests.support.killable_batch", run.run_id, KILLING]
        done = subprocess.run(command, check=False, env={**os.environ, **environment}, capture_output=True)
        assert done.returncode == -signal.SIGKILL
        started = instance.get_run_by_id(run.run_id)
        assert instance.run_launcher.check_run_worker_health(started).status is WorkerStatus.FAILED
        instance.report_run_failed(started)  # as the monitor of runs does
        return instance.get_run_by_id(run.run_id)

    def test_is_continued_by_its_retry(self, first, execute, instance, settings, data, sandbox, webhook):
        before = [account for account in ACCOUNTS if account < KILLING and account not in REFUSED]
        assert {tuple(find_materialized(instance, name)) for name in NAMES} == {tuple(before)}
        assert (find_published(data), first.tags[WILL_RETRY_TAG]) == (before, "true")
        sandbox.clear_counts()
        retry = execute({**build_range(ACCOUNTS[0], ACCOUNTS[-1]), **RETRY}, first)
        left = [account for account in ACCOUNTS if account > KILLING]
        assert find_requested(sandbox) == left  # all responses of `KILLING` are stored
        others = [account for account in ACCOUNTS if account not in REFUSED]
        assert find_published(data) == others
        assert {name: find_materialized(instance, name) for name in NAMES} == dict.fromkeys(NAMES, others)
        assert {name: find_failed(instance, settings, name) for name in NAMES} == dict.fromkeys(NAMES, REFUSED)
        assert {read_check_states(instance, account) for account in others} == {("SUCCEEDED",)}
        assert find_sentence(instance, retry).startswith(
            f"2 of {len(ACCOUNTS)} accounts failed: {', '.join(REFUSED)}; "
        )
        assert retry.tags[WILL_RETRY_TAG] == "false"
        for run in (first, retry, retry):
            evaluate_sensor(settings, instance, run)
        assert [text.partition(" failed: ")[0] for text in webhook.texts] == [f"{one} on {DAY}" for one in REFUSED]


def test_a_killed_batch_without_a_retry_left_is_an_alert_of_its_own(
    execute, kill, instance, settings, sandbox, webhook
):
    sandbox.fault(Status(status=403, account="a01"))
    kill("a02")
    run = execute({**build_range("a01", "a02"), "dagster/max_retries": "0"}, select=FEW)
    evaluate_sensor(settings, instance, run)
    assert [text.partition(" failed: ")[0] for text in webhook.texts] == [f"a01 on {DAY}", "daily_snapshot"]
