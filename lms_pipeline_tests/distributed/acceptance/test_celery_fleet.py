"""A night of many accounts over two Celery workers that share no disk."""

import re
from collections import Counter

import dagster as dg
import pytest

from lms_pipeline_tests.distributed.acceptance.fleet import (
    ACCOUNTS,
    TABLES,
    find_repeated,
    pull_embedded,
    read_digests,
    request_runs,
)
from lms_pipeline_tests.distributed.acceptance.nodes import find_secrets, start_celery_worker
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.monitoring import launch, read_status, wait_for_end
from lms_pipeline_tests.support.full import choose

pytestmark = [
    pytest.mark.distributed,
    # Dagster's launcher registers its task again at each launch, as the same function
    pytest.mark.filterwarnings("ignore:Task name 'execute_job' is already registered"),
]
RUNS, ACCOUNTS_PER_RUN = choose(3, 8), choose(2, 5)
SUCCEEDED = re.compile(r"Task execute_job\[[0-9a-f-]+\] succeeded")


@pytest.fixture
def account_ids():
    return ACCOUNTS[: RUNS * ACCOUNTS_PER_RUN]


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"accounts_per_run": ACCOUNTS_PER_RUN})


def test_two_workers_pull_every_account_once_and_publish_what_one_machine_does(
    addresses, deploy, settings, machines, account_ids, sandbox, tmp_path
):
    instance = deploy("celery")
    workers = [start_celery_worker(machine) for machine in machines("first", "second", is_cold=True)]
    runs = request_runs(instance, settings)
    assert len(runs) == RUNS
    for run in runs:
        launch(instance, run)
    for run in runs:
        wait_for_end(instance, run, MAX_WAIT_SECONDS)
    assert Counter(read_status(instance, run.run_id) for run in runs) == {dg.DagsterRunStatus.SUCCESS: len(runs)}
    ended = [len(SUCCEEDED.findall(worker.read_log())) for worker in workers]
    assert sum(ended) == len(runs)
    assert min(ended) > 0
    assert find_repeated(sandbox) == []
    published = read_digests(settings, account_ids)
    assert published == pull_embedded(settings, tmp_path / "embedded", account_ids)
    assert len(published) == len(account_ids) * len(TABLES)
    texts = [worker.read_log() for worker in workers] + [str(instance.all_logs(run.run_id)) for run in runs]
    assert find_secrets(settings, "".join(texts)) == []
