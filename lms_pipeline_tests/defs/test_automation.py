"""The schedule and the sensors, evaluated as the daemon evaluates them."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pytest

# no public names: what the daemon records of a schedule
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo
from pydantic import SecretStr

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.defs.run_requests import RETRY_GRACE_SECONDS, START_GRACE_SECONDS, has_failed, is_active
from lms_pipeline.lake.lock import partition_lock
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
            done = job.execute_in_process(partition_key=key, instance=instance, tags=tags, raise_on_error=False)
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
        assert run_all(settings, instance, "north", "south") == [None, None]

    def test_does_not_block_another_token(self, settings, instance, registry, sandbox):
        wrong = settings.model_copy(update={"token": SecretStr("wrong-token")})
        [error] = run_all(wrong, instance, "north")
        assert "does not accept" in error
        assert run_all(settings, instance, "north") == [None]
        files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
        assert not any(b"wrong-token" in path.read_bytes() for path in files)


class TestFailedDays:
    def test_are_requested_once_for_each_failure(self, repository, settings, instance, registry, sandbox):
        assert sense(repository, instance, "failed_days").run_requests == []
        sandbox.fault(Status(status=403, account="north"))
        north, south = run_all(settings, instance, "north", "south")
        assert (north is None, south) == (False, None)
        first = sense(repository, instance, "failed_days")
        assert keys(first.run_requests) == ["north|2026-03-10"]
        assert [one.run_key for one in first.run_requests] == [
            one.run_key for one in sense(repository, instance, "failed_days").run_requests
        ]
        run_all(settings, instance, "north")
        again = sense(repository, instance, "failed_days")
        assert again.run_requests[0].run_key != first.run_requests[0].run_key
        sandbox.clear_faults()
        run_all(settings, instance, "north")
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_are_not_requested_after_the_grace_period(self, settings, instance, registry, sandbox):
        sandbox.fault(Status(status=403, account="north"))
        run_all(settings, instance, "north")
        late = {"grace_hours": 6.0, "frozen_now": datetime(2026, 3, 11, 7, tzinfo=UTC)}
        repository = build_defs(settings.model_copy(update=late)).get_repository_def()
        assert "grace" in sense(repository, instance, "failed_days").skip_message


def end_tick(instance, status=TickStatus.FAILURE, *, at=NOW, seconds_ago=300.0, switch=InstigatorStatus.RUNNING):
    """Turn the schedule on or off, and record a tick of it."""
    repository_origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lms_pipeline"), "__repository__")
    data = ScheduleInstigatorData("0 2 * * *", start_timestamp=0.0)
    origin = RemoteInstigatorOrigin(repository_origin, "daily_snapshot")
    state = instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, switch, data))
    tick = TickData(
        state.instigator_origin_id,
        "daily_snapshot",
        InstigatorType.SCHEDULE,
        status,
        at.timestamp(),
        selector_id=state.selector_id,
        end_timestamp=None if status is TickStatus.STARTED else time.time() - seconds_ago,
        error=SerializableErrorInfo("It failed.", [], None) if status is TickStatus.FAILURE else None,
        run_ids=["a run of another account"] if status is TickStatus.SUCCESS else [],
    )
    instance.create_tick(tick)


class TestFailedTick:
    """A tick of the schedule that requested nothing, since it failed."""

    def test_is_made_up_for_by_requests_for_accounts_without_a_run(self, repository, instance, registry):
        assert sense(repository, instance, "failed_days").run_requests == []
        end_tick(instance)
        assert keys(sense(repository, instance, "failed_days").run_requests) == ["north|2026-03-10", "south|2026-03-10"]

    def test_leaves_out_what_is_published_or_pulled_or_has_a_run(self, repository, settings, instance, registry, data):
        for account_id in ("east", "west"):
            registry.add(account_id, name=None, first_day=DAY)
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        tags = {"dagster/partition/account": "north", "dagster/partition/date": "2026-03-10"}
        instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        publish(data, "south", DAY, enrollment("u1"))
        end_tick(instance)
        with partition_lock(data, Partition("east", DAY)):
            assert keys(sense(repository, instance, "failed_days").run_requests) == ["west|2026-03-10"]

    @pytest.mark.parametrize("status", [TickStatus.SUCCESS, TickStatus.SKIPPED])
    def test_is_one_that_left_out_an_account_too(self, repository, instance, registry, status):
        end_tick(instance, status)
        assert len(sense(repository, instance, "failed_days").run_requests) == 2

    @pytest.mark.parametrize(
        "tick",
        [
            {"switch": InstigatorStatus.STOPPED},
            {"status": TickStatus.STARTED},
            {"seconds_ago": 60.0},
            {"at": NOW - timedelta(days=1)},
        ],
        ids=["of a schedule that is off", "that goes on", "that may be repeated", "of the day before"],
    )
    def test_is_none(self, repository, instance, registry, tick):
        end_tick(instance, **tick)
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_repeats_run_keys_so_that_dagster_runs_them_once(self, repository, instance, registry):
        end_tick(instance)
        first, again = (sense(repository, instance, "failed_days").run_requests for _ in range(2))
        assert [one.run_key for one in first] == [one.run_key for one in again]


def test_a_tick_goes_on_if_truto_does_not_respond(repository, instance, registry, sandbox):
    sandbox.fault(Status(status=503))
    assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10", "south|2026-03-10"]
    assert sandbox.stats()["total"] == 1


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


def test_the_registry_sensor_skips_new_accounts_with_a_snapshot(repository, instance, registry, data):
    publish(data, "north", DAY, enrollment("u1"))
    publish(data, "south", DAY, enrollment("u1"))
    assert sense(repository, instance, "account_registry").run_requests == []


def test_the_warehouse_is_rebuilt_once_after_something_was_published(repository, settings, instance, registry):
    assert sense(repository, instance, "warehouse_refresh").run_requests == []
    (run,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
    assert run.error is None
    first = sense(repository, instance, "warehouse_refresh")
    assert len(first.run_requests) == 1
    assert sense(repository, instance, "warehouse_refresh", first.cursor).run_requests == []
