"""A night of a small fleet in this process: three failing accounts stop no other, and only they are retried.

`benchmarks/fleet.py` does the same with Dagster's daemon and two hundred accounts.
"""

import json
from datetime import UTC, date, datetime
from functools import partial

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import records_world, running
from lms_pipeline.sandbox.faults import Html, RevokedConnection, Status
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.truto.retry import RetryPolicy

DAY, NOW = date(2026, 3, 10), datetime(2026, 3, 11, 2, tzinfo=UTC)
HEALTHY = {"east", "south"}
"""One of them before the failing accounts, and one after."""
CAUSES = {
    "revoked": "The account's connection to its LMS is broken (GET /unified/lms/users of account revoked, status 401): "
    "ask its owner to connect it again in Truto.",
    "failing": "Truto failed to answer and says 'Internal Server Error' (GET /unified/lms/users of account failing, "
    "status 500): try again later.",
    "garbage": "The response is not JSON, or was cut short (GET /unified/lms/users of account garbage): try again later.",
}
NO_RETRY = {"dagster/max_retries": "0"}
"""Retries are requested by the daemon, which does not run here."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """Serve five accounts of one enrollment each, three of them with a fault."""
    records = tmp_path_factory.mktemp("fleet") / "records.ndjson"
    enrollment = {"id": "e1", "user": {"id": "u1"}, "course": {"id": "c1"}, "status": "completed"}
    lines = [
        json.dumps({"account": one, "valid_from": "2026-03-01T00:00:00Z", "enrollment": enrollment})
        for one in sorted(HEALTHY | CAUSES.keys())
    ]
    records.write_text("\n".join(lines), encoding="utf-8")
    with running(records_world([records])) as server:
        server.set_clock(NOW)
        server.fault(
            RevokedConnection(account="revoked"), Status(account="failing", status=500), Html(account="garbage")
        )
        yield server


@pytest.fixture(scope="module")
def settings(sandbox, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    sandbox_settings = {"token": SecretStr(sandbox.token), "base_url": sandbox.url}
    return Settings(
        **sandbox_settings, data_dir=folder, start_date=DAY, frozen_now=NOW, dagster_home_set=folder / "dagster"
    )


@pytest.fixture(scope="module")
def instance(settings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        # the client's own retries take seconds, and have their own tests
        patch.setattr("lms_pipeline.truto.retry.RetryPolicy", partial(RetryPolicy, 1, 1))
        with open_instance(settings) as opened:
            yield opened


@pytest.fixture(scope="module")
def night(settings, instance, sandbox):
    """Return the runs of one tick by account, and the run requests of the next tick."""
    data, defs = DataDir(settings.data_dir), build_defs(settings)
    registry = Registry(data)
    for account_id in sorted(HEALTHY | CAUSES.keys()):
        registry.add(account_id, name=None, first_day=DAY)
    job = defs.resolve_job_def("daily_snapshot")
    runs = {
        request.partition_key.keys_by_dimension["account"]: job.execute_in_process(
            partition_key=request.partition_key, instance=instance, tags=NO_RETRY, raise_on_error=False
        )
        for request in evaluate_tick(defs, instance)
    }
    sandbox.clear_counts()
    return runs, evaluate_tick(defs, instance)


def evaluate_tick(defs, instance):
    repository = defs.get_repository_def()
    resources = repository.get_top_level_resources()
    with dg.build_schedule_context(
        instance, repository_def=repository, resources=resources, scheduled_execution_time=NOW
    ) as context:
        return repository.get_schedule_def("daily_snapshot").evaluate_tick(context).run_requests


def test_a_tick_requests_a_run_for_every_account(night):
    runs, _ = night
    assert runs.keys() == HEALTHY | CAUSES.keys()


def test_every_healthy_account_has_every_table(night, settings):
    data = DataDir(settings.data_dir)
    tables = [table for table in TABLES.values() if table.per_account]
    complete = {
        account_id
        for account_id in HEALTHY | CAUSES.keys()
        if all(data.file(table, Partition(account_id, DAY)).exists() for table in tables)
    }
    assert complete == HEALTHY


def test_each_failed_run_logs_its_cause_first(night, instance):
    runs, _ = night
    failed = {account_id: run for account_id, run in runs.items() if not run.success}
    messages = {
        account_id: next(entry for entry in instance.all_logs(run.run_id) if entry.level >= 40).user_message
        for account_id, run in failed.items()
    }
    assert messages == CAUSES


def test_the_next_tick_requests_only_the_failed_accounts(night):
    _, requests = night
    assert {request.partition_key for request in requests} == {
        build_partition_key(Partition(account_id, DAY)) for account_id in CAUSES
    }


def test_the_next_tick_calls_no_account(night, sandbox):
    assert sandbox.stats()["requests"] == {}
