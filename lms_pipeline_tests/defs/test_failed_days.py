"""The sensor `failed_days`: which accounts it requests again after failed runs and ticks."""

import time
from datetime import UTC, datetime, timedelta

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
from dagster_shared.error import SerializableErrorInfo

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.partitions import build_partition_key
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox.faults import RevokedToken, Status
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline_tests.defs.conftest import DAY, NOW, Left, open_installation
from lms_pipeline_tests.defs.test_automation import keys, repository, run_all, sense
from lms_pipeline_tests.support.lake_files import enrollment, publish

__all__ = ["repository"]


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

    def test_are_requested_after_a_later_run_of_lists(self, repository, settings, instance, registry, sandbox):
        sandbox.fault(Status(status=403, account="north"))
        run_all(settings, instance, "north")
        sandbox.clear_faults()
        [lists] = run_partitions(build_defs(settings), instance, [Partition("north", DAY)], ["learners"])
        assert lists.error is None
        assert keys(sense(repository, instance, "failed_days").run_requests) == ["north|2026-03-10"]

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

    def test_is_followed_by_requests_for_accounts_without_a_run(self, repository, instance, registry):
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


SELECTED = [dg.AssetKey(name) for name in ("unified_enrollments", "account_completion")]
"""A pulled table and one of metrics."""


def fail_in_metrics(settings, instance):
    """Run a day of `north` whose metrics fail after its pull has published, and return the run."""
    instance.add_dynamic_partitions("account", ["north"])
    job = build_defs(settings).resolve_job_def("daily_snapshot")
    key = build_partition_key(Partition("north", DAY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lms_pipeline.metrics.completion.publish_metrics", fail_to_publish)
        done = job.execute_in_process(
            partition_key=key, asset_selection=SELECTED, instance=instance, raise_on_error=False
        )
    assert not done.success
    return done.dagster_run


def fail_to_publish(*_args, **_options):
    raise LakeError("The metrics can't be computed.")


@pytest.fixture(scope="module")
def left(tmp_path_factory, make_home):
    """What such a run left. Read-only."""
    folder = tmp_path_factory.mktemp("left")
    with open_installation(folder, make_home) as (_, settings, instance):
        return Left(folder, fail_in_metrics(settings, instance))


class TestARunThatFailedAfterItPublished:
    @pytest.fixture
    def failed(self, left, settings):
        """The run, whose installation is copied before the instance is opened."""
        left.copy(settings)
        return left.run

    def test_is_followed_by_its_metrics_without_a_call(self, failed, repository, instance, sandbox):
        [request] = sense(repository, instance, "failed_days").run_requests
        assert request.run_key == f"north|2026-03-10 after {failed.run_id}"
        sandbox.clear_counts()
        subset = repository.get_job("daily_snapshot").get_subset(
            asset_selection=frozenset(request.asset_selection),
            asset_check_selection=frozenset(request.asset_check_keys),
        )
        done = subset.execute_in_process(partition_key=request.partition_key, instance=instance)
        assert (done.success, sandbox.stats()["total"]) == (True, 0)
        assert {one.check_name for one in done.get_asset_check_evaluations()} >= {"schema"}
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_is_not_requested_again_if_only_its_metrics_failed(self, failed, repository, settings, instance):
        [request] = sense(repository, instance, "failed_days").run_requests
        instance.create_run_for_job(
            build_defs(settings).resolve_job_def("daily_snapshot"),
            asset_selection=frozenset(request.asset_selection),
            tags={**request.tags, "dagster/will_retry": "false"},
            status=dg.DagsterRunStatus.FAILURE,
        )
        assert sense(repository, instance, "failed_days").run_requests == []

    @pytest.mark.usefixtures("after_a_run")
    def test_after_metrics_of_an_earlier_pull_is_followed_by_its_metrics_too(self, repository, settings, instance):
        fail_in_metrics(settings, instance)
        assert keys(sense(repository, instance, "failed_days").run_requests) == ["north|2026-03-10"]

    @pytest.mark.usefixtures("after_a_run")
    def test_with_its_metrics_needs_nothing(self, repository, instance):
        [run] = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": f"north|{DAY}"}))
        instance.report_run_canceled(run)
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_between_two_tables_of_metrics_is_followed_by_its_metrics(
        self, repository, settings, instance, registry, data
    ):
        instance.add_dynamic_partitions("account", ["north"])
        publish(data, "north", DAY, enrollment("u1"))
        for table in METRIC_TABLES[:-1]:
            publish(data, "north", DAY, table=table)
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        tags = {"dagster/partition/account": "north", "dagster/partition/date": str(DAY), "dagster/will_retry": "false"}
        instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.FAILURE)
        assert keys(sense(repository, instance, "failed_days").run_requests) == ["north|2026-03-10"]
        publish(data, "north", DAY, table=METRIC_TABLES[-1])
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_is_followed_by_its_metrics_without_a_token(self, failed, repository, instance, sandbox):
        sandbox.fault(RevokedToken())
        assert len(sense(repository, instance, "failed_days").run_requests) == 1

    def test_is_followed_by_its_metrics_although_another_account_needs_the_token(
        self, failed, repository, settings, instance, sandbox
    ):
        sandbox.fault(RevokedToken())
        run_all(settings, instance, "south")
        assert keys(sense(repository, instance, "failed_days").run_requests) == ["north|2026-03-10"]
