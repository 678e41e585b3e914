"""An account of a run whose LMS allows no call for more than a minute."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from lms_pipeline.defs.run_locks import run_lock
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.waiting import find_waiting
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.defs.batches.conftest import (
    FEW,
    RETRY,
    build_range,
    find_materialized,
    find_messages,
    find_requested,
)
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import keys, sense

BUSY = Status(status=429, retry_after=3000, account="a02", remote=True, after=1)


@pytest.fixture(scope="module")
def left(leave):
    """What the run left whose second account waits. Read-only."""
    return leave(build_range("a01", "a03"), BUSY, select=FEW)


@pytest.fixture
def batch(left, settings):
    """The run, whose installation is copied before the instance is opened."""
    left.copy(settings)
    return left.run


class TestAnAccountWhoseLmsAllowsNoCall:
    @pytest.fixture
    def come(self, monkeypatch):
        later = timedelta(seconds=3001)
        monkeypatch.setattr("lms_pipeline.defs.run_requests.utc_now", lambda: datetime.now(UTC) + later)

    def test_is_left_without_a_failure(self, batch, instance, data):
        assert batch.is_success
        assert find_materialized(instance, "account_completion") == ["a01", "a03"]
        [waiting] = find_waiting(data)
        assert (waiting.account_id, waiting.responses) == ("a02", 1)
        assert f"a02 on {DAY}: {waiting.describe(UTC)}" in find_messages(instance, batch)

    def test_is_left_by_the_next_run_of_the_range(self, batch, execute, sandbox):
        assert execute(build_range("a01", "a04"), select=FEW).is_success
        assert find_requested(sandbox) == ["a04"]

    @pytest.mark.usefixtures("come")
    def test_is_continued_by_a_run_of_its_own(self, batch, repository, instance):
        [request] = sense(repository, instance, "waiting_pulls").run_requests
        assert (str(request.partition_key), request.run_key) == (f"a02|{DAY}", f"a02|{DAY} continues {batch.run_id}")

    @pytest.mark.usefixtures("come")
    def test_is_continued_while_its_batch_goes_on(self, batch, repository, instance):
        instance.run_storage.delete_run(batch.run_id)
        instance.run_storage.add_run(batch.with_status(dg.DagsterRunStatus.STARTED))
        with run_lock(instance, batch.run_id):
            assert keys(sense(repository, instance, "waiting_pulls").run_requests) == [f"a02|{DAY}"]

    @pytest.mark.usefixtures("come")
    def test_is_continued_while_a_retry_of_its_batch_goes_on(self, execute, sandbox, repository, instance):
        sandbox.fault(BUSY)
        sandbox.fault(Status(status=403, account="a03"))
        failed = execute(build_range("a01", "a03"), select=FEW)
        retry = start_retry(repository, instance, failed)
        with run_lock(instance, retry.run_id):
            [request] = sense(repository, instance, "waiting_pulls").run_requests
        assert request.run_key == f"a02|{DAY} continues {failed.run_id}"

    @pytest.mark.usefixtures("come")
    def test_is_not_continued_while_a_newer_batch_pulls_it(self, batch, repository, instance, data):
        start_retry(repository, instance, batch)
        with partition_lock(data, Partition("a02", DAY)):
            assert sense(repository, instance, "waiting_pulls").run_requests == []


def start_retry(repository, instance, run):
    job = repository.get_job("daily_snapshot")
    return instance.create_run_for_job(
        job,
        tags={**build_range("a01", "a03"), **RETRY},
        status=dg.DagsterRunStatus.STARTED,
        parent_run_id=run.run_id,
        root_run_id=run.run_id,
    )
