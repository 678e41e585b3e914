"""Accounts of a run that fail: the others follow."""

from functools import partial

import dagster as dg
import pytest

from lms_pipeline.alerts import AlertError
from lms_pipeline.checks.base import Finding
from lms_pipeline.defs import asset_checks
from lms_pipeline.defs.failures import RETRY_ON_FAILURE_TAG, WILL_RETRY_TAG
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.snapshot import job as snapshot_job
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.defs.batches.conftest import (
    FEW,
    RETRY,
    build_range,
    find_failed,
    find_materialized,
    find_messages,
    find_requested,
    find_sentence,
)
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_alerts import evaluate_sensor


@pytest.fixture(scope="module")
def left(leave):
    """What the run left of whose three accounts `a02` failed. Read-only."""
    return leave(build_range("a01", "a03"), Status(status=403, account="a02"), select=FEW)


@pytest.fixture
def failed(left, settings):
    """The run, whose installation is copied before the instance is opened."""
    left.copy(settings)
    return left.run


class TestAFailedAccount:
    def test_does_not_stop_the_next(self, failed, instance, settings):
        assert failed.status is dg.DagsterRunStatus.FAILURE
        assert find_materialized(instance, "account_completion") == ["a01", "a03"]
        assert find_failed(instance, settings, "account_completion") == ["a02"]
        assert find_sentence(instance, failed).startswith("1 of 3 accounts failed: a02; ")
        assert failed.tags[RETRY_ON_FAILURE_TAG] == "false"

    def test_says_why_in_the_log_and_on_its_page(self, failed, instance):
        [observed] = instance.fetch_observations(
            dg.AssetRecordsFilter(dg.AssetKey("unified_enrollments"), asset_partitions=[f"a02|{DAY}"]), limit=9
        ).records
        sentence = observed.asset_observation.description
        assert sentence.startswith("Truto refused the request")
        assert f"a02 on {DAY}: {sentence}" in find_messages(instance, failed)

    def test_is_tried_again_if_it_may_pass(self, execute, instance, sandbox, monkeypatch):
        monkeypatch.setattr("lms_pipeline.truto.retry.RetryPolicy", partial(RetryPolicy, 1, 1))
        sandbox.fault(Status(status=503, account="a02"))
        sandbox.fault(Status(status=403, account="a03"))
        first = execute(build_range("a01", "a03"), select=FEW)
        assert first.tags[WILL_RETRY_TAG] == "true"
        sandbox.clear_faults()
        sandbox.clear_counts()
        retry = execute({**build_range("a01", "a03"), **RETRY}, first, select=FEW)
        assert find_requested(sandbox) == ["a02"]
        assert find_sentence(instance, retry).startswith("1 of 3 accounts failed: a03; ")

    def test_is_tried_again_by_a_person_in_any_case(self, failed, execute, sandbox):
        assert execute(build_range("a01", "a03"), failed, select=FEW).is_success
        assert find_requested(sandbox) == ["a02"]

    def test_may_fail_unexpectedly(self, execute, instance, settings, webhook, monkeypatch):
        original = snapshot_job.record_outcome

        def fail(data, job, result):
            if job.account_id == "a02":
                raise RuntimeError("learner1@example.org")
            original(data, job, result)

        monkeypatch.setattr(snapshot_job, "record_outcome", fail)
        run = execute(build_range("a01", "a03"), select=FEW)
        assert find_materialized(instance, "account_completion") == ["a01", "a03"]
        evaluate_sensor(settings, instance, run)
        [text] = webhook.texts
        assert text.startswith(f"a02 on {DAY} failed: an unexpected RuntimeError: see the run's log in the UI.")

    def test_gets_its_alert_after_one_that_the_webhook_refuses(self, execute, instance, settings, sandbox, webhook):
        for account in ("a01", "a03"):
            sandbox.fault(Status(status=403, account=account))
        run = execute(build_range("a01", "a03"), select=FEW)
        webhook.failures = [404]
        with pytest.raises(AlertError):
            evaluate_sensor(settings, instance, run)
        evaluate_sensor(settings, instance, run)
        assert [text[:3] for text in webhook.texts] == ["a01", "a03", "a01"]

    def test_of_which_a_blocking_check_fails_has_no_metrics(self, execute, instance, settings, monkeypatch):
        monkeypatch.setattr("lms_pipeline.defs.asset_checks._run_check", fail_schema_of("a02"))
        run = execute(build_range("a01", "a03"), select=FEW)
        assert find_materialized(instance, "unified_enrollments") == ["a01", "a02", "a03"]
        assert find_materialized(instance, "account_completion") == ["a01", "a03"]
        assert find_failed(instance, settings, "unified_enrollments") == []
        assert find_failed(instance, settings, "account_completion") == ["a02"]
        assert any("fail the check schema" in (message or "") for message in find_messages(instance, run))


def fail_schema_of(account):
    """Return the function that runs a check, with a wrong schema of one account's pulled tables."""
    original = asset_checks._run_check

    def run_check(check, open_table):
        subject = open_table(check.tables[0])
        if (subject.partition.account_id, check.name, check.is_blocking) == (account, "schema", True):
            return Finding(passed=False, message="1 column is not as described.")
        return original(check, open_table)

    return run_check
