"""A run of many accounts on a worker whose machine is killed: another machine does the rest, and nothing twice."""

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.defs.failures import WILL_RETRY_TAG
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.batches.conftest import RETRY, find_failed, find_sentence
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_alerts import evaluate_sensor, webhook
from lms_pipeline_tests.distributed.acceptance.fleet import ACCOUNTS, TABLES, read_digests, request_runs
from lms_pipeline_tests.distributed.acceptance.nodes import start_celery_worker
from lms_pipeline_tests.distributed.monitoring import launch, monitor, read_status, wait_for_end
from lms_pipeline_tests.distributed.s3_front import Fault
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.launched_runs import create_requested_run

__all__ = ["webhook"]

from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore:Task name 'execute_job' is already registered"),
]
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
KILLED = choose("a05", "a12")
"""The machine is killed while it uploads the pull of this account."""
REFUSED = choose(["a02", "a04"], ["a03", "a11"])
"""Their LMS refuses each call for good."""


@pytest.fixture
def account_ids():
    return ACCOUNTS[: choose(6, 25)]


@pytest.fixture
def settings(settings, webhook):
    return settings.model_copy(update={"accounts_per_run": 25, "alert_webhook": SecretStr(webhook.address)})


@pytest.fixture
def instance(addresses, deploy):
    return deploy("celery")


@pytest.fixture
def _soon_missed(monkeypatch):
    """Three misses in a row are enough, however short their time is."""
    monkeypatch.setattr("lms_pipeline.defs.missed_checks.MIN_MISSED_SECONDS", 0)
    monkeypatch.setattr("lms_pipeline.defs.launching_celery.MAX_ANSWER_SECONDS", 1)


def find_published(settings, account_ids):
    return sorted({account for account, table in read_digests(settings, account_ids) if table == "unified_enrollments"})


@pytest.mark.usefixtures("_soon_missed")
def test_the_retry_on_another_machine_pulls_what_is_left(
    instance, settings, account_ids, machines, sandbox, s3, webhook
):
    first, second = machines("first", "second")
    sandbox.fault(*(Status(status=403, account=account) for account in REFUSED))
    uploading = Fault("hold", method="PUT", match=f"account_id={KILLED}/", is_done=True)
    s3.faults.append(uploading)
    worker = start_celery_worker(first)
    (run,) = request_runs(instance, settings)
    launch(instance, run)
    assert uploading.arrived.wait(MAX_WAIT_SECONDS), worker.read_log()
    assert {monitor(instance, run.run_id) for _ in range(choose(20, 100))} == {STARTED}
    first.kill()
    uploading.released.set()
    assert [monitor(instance, run.run_id) for _ in range(3)] == [STARTED, STARTED, FAILURE]
    killed = account_ids.index(KILLED)
    before = [account for account in account_ids[:killed] if account not in REFUSED]
    assert find_published(settings, account_ids) == before
    failed = instance.get_run_by_id(run.run_id)
    assert failed.tags[WILL_RETRY_TAG] == "true"

    sandbox.clear_counts()
    start_celery_worker(second)
    retry = create_requested_run(instance, settings, {**run.tags, **RETRY}, parent=run.run_id)
    launch(instance, retry)
    wait_for_end(instance, retry, MAX_WAIT_SECONDS)
    assert read_status(instance, retry.run_id) is FAILURE
    assert find_requested(sandbox) == account_ids[killed + 1 :]
    others = [account for account in account_ids if account not in REFUSED]
    assert find_published(settings, account_ids) == others
    assert len(read_digests(settings, others)) == len(others) * len(TABLES)
    assert find_failed(instance, settings, UNIFIED_ENROLLMENTS.name) == REFUSED
    ended = instance.get_run_by_id(retry.run_id)
    assert find_sentence(instance, ended).startswith(f"2 of {len(account_ids)} accounts failed: {', '.join(REFUSED)}; ")
    assert ended.tags[WILL_RETRY_TAG] == "false"
    for one in (failed, ended, ended):
        evaluate_sensor(settings, instance, one)
    assert [text.partition(" failed: ")[0] for text in webhook.texts] == [f"{account} on {DAY}" for account in REFUSED]


def find_requested(sandbox):
    """Return the accounts with requests."""
    return sorted(account for account, counts in sandbox.stats()["requests"].items() if counts)
