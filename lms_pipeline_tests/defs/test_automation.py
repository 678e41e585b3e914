"""The schedule and the sensors, evaluated as the daemon evaluates them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.defs.run_requests import RETRY_GRACE_SECONDS, START_GRACE_SECONDS, has_failed, is_active
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox.faults import RevokedToken, Status
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.defs.conftest import DAY, NOW
from lms_pipeline_tests.support.lake_files import enrollment, publish


@pytest.fixture
def repository(settings):
    return build_defs(settings).get_repository_def()


def tick(repository, instance, at=NOW):
    schedule = repository.get_schedule_def("daily_snapshot")
    resources = repository.get_top_level_resources()
    with dg.build_schedule_context(
        instance, repository_def=repository, resources=resources, scheduled_execution_time=at
    ) as context:
        return schedule.evaluate_tick(context)


def sense(repository, instance, name, cursor=None):
    sensor = repository.get_sensor_def(name)
    resources = repository.get_top_level_resources()
    with (
        dg.build_sensor_context(instance, cursor=cursor, repository_def=repository, resources=resources) as context,
        dg.partition_loading_context(dynamic_partitions_store=instance),
    ):
        return sensor.evaluate_tick(context)


def read_marks(data):
    """Return what readers noted in the index: nothing before it is built."""
    with closing(sqlite3.connect(data.index)) as connection:
        return dict(connection.execute("SELECT name, value FROM index_marks"))


def keys(requests):
    return sorted(str(request.partition_key) for request in requests)


def test_the_schedule_requests_the_open_day_of_every_active_account(repository, instance, registry):
    assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10", "south|2026-03-10"]


def test_the_schedule_passes_over_published_days_before_the_index_is_built(repository, instance, registry, data):
    publish(data, "north", DAY, enrollment("u1"))
    assert keys(tick(repository, instance).run_requests) == ["south|2026-03-10"]
    assert read_marks(data) == {}


def test_the_schedule_needs_no_index(repository, instance, registry, data):
    publish(data, "north", DAY, enrollment("u1"))
    for path in data.state.glob("index.sqlite*"):
        path.unlink()
    data.index.mkdir()
    assert keys(tick(repository, instance).run_requests) == ["south|2026-03-10"]


def test_the_schedule_adds_partitions_that_no_sensor_has_added_yet(repository, instance, registry):
    instance.add_dynamic_partitions("account", ["north"])
    assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10", "south|2026-03-10"]


def test_the_schedule_skips_removed_accounts(repository, instance, registry):
    registry.remove("south", last_day=DAY)
    assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10"]


def test_the_schedule_without_active_accounts_says_what_to_do(repository, instance):
    assert "accounts sync" in tick(repository, instance).skip_message


def test_the_schedule_skips_after_the_grace_period(settings, instance, registry):
    late = {"grace_hours": 6.0, "frozen_now": datetime(2026, 3, 11, 7, tzinfo=UTC)}
    repository = build_defs(settings.model_copy(update=late)).get_repository_def()
    assert "grace" in tick(repository, instance).skip_message


def run_all(settings, instance, *accounts):
    """Pull the enrollments of each account, and return the errors."""
    partitions = [Partition(account, DAY) for account in accounts]
    runs = run_partitions(build_defs(settings), instance, partitions, ["unified_enrollments"])
    return [run.error for run in runs]


def test_the_schedule_skips_accounts_with_a_snapshot(repository, instance, registry, data):
    publish(data, "south", DAY, enrollment("u1"))
    assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10"]
    publish(data, "north", DAY, enrollment("u1"))
    assert tick(repository, instance).skip_message == "All 2 active accounts have their snapshot of 2026-03-10."


def test_the_schedule_skips_accounts_with_an_active_run(repository, settings, instance, registry):
    tags = {"dagster/partition/account": "south", "dagster/partition/date": "2026-03-10"}
    job = build_defs(settings).resolve_job_def("daily_snapshot")
    instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10"]


class TestARunThatDagsterHasCreated:
    """A run of `south` that is not queued yet."""

    @pytest.fixture(autouse=True)
    def run(self, settings, instance, registry):
        tags = {"dagster/partition/account": "south", "dagster/partition/date": "2026-03-10"}
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)

    def test_counts_as_active(self, repository, instance):
        assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10"]

    def test_counts_no_longer_if_its_creator_died(self, instance):
        [record] = instance.get_run_records()
        long_ago = record.create_timestamp - timedelta(seconds=START_GRACE_SECONDS)
        assert not is_active(record._replace(create_timestamp=long_ago))


class TestAccountsWhoseRunFailed:
    """`north`, whose LMS is overloaded."""

    @pytest.fixture(autouse=True)
    def overloaded(self, sandbox, registry, monkeypatch):
        monkeypatch.setattr("lms_pipeline.truto.retry.RetryPolicy", partial(RetryPolicy, 1, 1))
        sandbox.fault(Status(status=503, account="north"))

    @pytest.fixture
    def run(self, settings, instance):
        def fails(**tags):
            instance.add_dynamic_partitions("account", ["north"])
            job = build_defs(settings).resolve_job_def("daily_snapshot")
            key = build_partition_key(Partition("north", DAY))
            done = job.execute_in_process(
                partition_key=key,
                asset_selection=[dg.AssetKey("unified_enrollments")],
                instance=instance,
                tags=tags,
                raise_on_error=False,
            )
            assert not done.success

        return fails

    def test_get_no_run_while_dagster_is_about_to_retry(self, run, repository, instance):
        run()
        assert keys(tick(repository, instance).run_requests) == ["south|2026-03-10"]
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_count_as_failed_if_dagster_missed_the_failure(self, run, instance):
        run()
        (record,) = instance.get_run_records()
        assert is_active(record)
        assert has_failed(record._replace(end_time=record.end_time - RETRY_GRACE_SECONDS))

    def test_get_a_run_once_no_retry_follows(self, run, repository, instance):
        run(**{"dagster/max_retries": "0"})
        assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10", "south|2026-03-10"]
        assert keys(sense(repository, instance, "failed_days").run_requests) == ["north|2026-03-10"]


class TestBadToken:
    def test_is_found_by_one_request_of_the_tick_before_any_run(self, repository, instance, registry, sandbox):
        sandbox.fault(RevokedToken())
        with pytest.raises(Exception, match="daily_snapshot") as caught:
            tick(repository, instance)
        assert "Truto does not accept the token" in str(caught.value.__cause__)
        assert sandbox.stats()["total"] == 1

    def test_is_sent_by_the_first_run_only_until_it_is_accepted_again(
        self, repository, settings, instance, registry, sandbox
    ):
        sandbox.fault(RevokedToken())
        first, second = run_all(settings, instance, "north", "south")
        assert "Truto does not accept the token (GET" in first
        assert second.startswith("Truto does not accept the token, as another run has found out: check TRUTO_API")
        assert sandbox.stats()["total"] == 1
        sandbox.clear_faults()
        assert len(tick(repository, instance).run_requests) == 2
        assert run_all(settings, instance, "south") == [None]

    def test_does_not_block_another_token(self, settings, instance, registry, sandbox):
        wrong = settings.model_copy(update={"token": SecretStr("wrong-token")})
        [error] = run_all(wrong, instance, "north")
        assert "does not accept" in error
        assert run_all(settings, instance, "north") == [None]
        files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
        assert not any(b"wrong-token" in path.read_bytes() for path in files)


def test_the_registry_sensor_adds_new_accounts_and_requests_their_first_snapshot(repository, instance):
    requested = sense(repository, instance, "account_registry")
    assert instance.get_dynamic_partitions("account") == ["north", "south"]
    assert keys(requested.run_requests) == ["north|2026-03-10", "south|2026-03-10"]


def test_the_registry_sensor_finds_new_accounts_whose_partitions_exist_already(repository, instance):
    instance.add_dynamic_partitions("account", ["north", "south"])
    requested = sense(repository, instance, "account_registry")
    assert keys(requested.run_requests) == ["north|2026-03-10", "south|2026-03-10"]


def test_the_registry_sensor_repeats_run_keys_so_that_dagster_runs_them_once(repository, instance):
    first, again = (sense(repository, instance, "account_registry").run_requests for _ in range(2))
    assert [one.run_key for one in first] == [one.run_key for one in again]


def test_the_registry_sensor_skips_new_accounts_with_a_run(repository, settings, instance, registry):
    job = build_defs(settings).resolve_job_def("daily_snapshot")
    tags = {"dagster/partition/account": "north", "dagster/partition/date": "2026-03-10"}
    instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    assert keys(sense(repository, instance, "account_registry").run_requests) == ["south|2026-03-10"]


def test_the_registry_sensor_skips_new_accounts_with_a_snapshot(repository, instance, registry, data):
    publish(data, "north", DAY, enrollment("u1"))
    publish(data, "south", DAY, enrollment("u1"))
    assert sense(repository, instance, "account_registry").run_requests == []
