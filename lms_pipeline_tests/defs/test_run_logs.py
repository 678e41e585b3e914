"""Logs of old runs go, and nothing that is shown of partitions goes with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.run_logs import JOBS, OF_ASSETS, old_run_logs
from lms_pipeline.defs.running import open_instance, rebuild_warehouse, run_partitions
from lms_pipeline.housekeeping.removing import remove
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.housekeeping.house import age

ASSET = dg.AssetKey("unified_enrollments")


def old(instance):
    """Written more than ninety days ago."""
    return old_run_logs(instance, datetime.now(UTC) - timedelta(days=90))


def file(instance, run_id):
    return Path(instance.event_log_storage.path_for_shard(run_id))


def grow_old(instance, days=91):
    for path in [*Path(instance.root_directory).rglob("*")]:
        age(path, days)


def add(instance, job_name, *, status=dg.DagsterRunStatus.SUCCESS, location=None, assets=None):
    """A run with a log of one event."""
    origin = location and RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__"), job_name
    )
    run = dg.DagsterRun(
        job_name=job_name,
        status=status,
        remote_job_origin=origin,
        asset_selection=assets and frozenset(dg.AssetKey(name) for name in assets),
    )
    instance.add_run(run)
    instance.report_engine_event("hello", run)
    grow_old(instance)
    return run.run_id


class TestOfARun:
    @pytest.fixture
    def run_id(self, settings, instance, registry):
        """A run of `north`, long ago."""
        (outcome,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
        assert outcome.error is None
        grow_old(instance)
        (run,) = instance.get_runs()
        return run.run_id

    def test_goes_with_what_its_steps_printed(self, instance, run_id, data):
        printed = Path(instance.root_directory) / "storage" / run_id
        assert file(instance, run_id).stat().st_size > 100_000
        assert printed.is_dir()
        due = old(instance)
        assert [one.path for one in due] == [file(instance, run_id), printed]
        assert due[0].bytes == file(instance, run_id).stat().st_size
        assert remove(data, due) == due
        assert not file(instance, run_id).exists()
        assert not printed.exists()
        assert old(instance) == []

    def test_leaves_the_run_and_what_is_shown_of_its_partition(self, instance, run_id, data, settings):
        before = instance.get_latest_materialization_event(ASSET)
        remove(data, old(instance))
        assert instance.get_materialized_partitions(ASSET) == {"north|2026-03-10"}
        assert instance.get_latest_materialization_event(ASSET) == before
        (record,) = instance.fetch_materializations(ASSET, limit=9).records
        assert record.asset_materialization == before.asset_materialization
        assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.SUCCESS
        with open_instance(settings) as later:
            assert later.all_logs(run_id) == []

    def test_leaves_the_next_run_of_the_same_partition_to_work(self, instance, run_id, data, settings):
        remove(data, old(instance))
        (again,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
        assert again.error is None
        assert rebuild_warehouse(build_defs(settings), instance).error is None

    def test_is_kept_while_it_is_young(self, instance, run_id):
        grow_old(instance, days=89)
        assert old(instance) == []


def test_every_job_of_ours_is_known_as_one(settings):
    jobs = build_defs(settings).get_repository_def().get_all_jobs()
    assert {job.name for job in jobs if job.name != OF_ASSETS} == JOBS


@pytest.mark.parametrize("job_name", ["daily_snapshot", "watch_fleet", "housekeeping"])
@pytest.mark.parametrize("location", [None, "lms_pipeline"])
def test_logs_of_our_jobs_go_wherever_they_were_launched(instance, job_name, location):
    run_id = add(instance, job_name, location=location)
    assert [one.path for one in old(instance)] == [file(instance, run_id)]


def test_logs_of_assets_that_somebody_materialized_go_where_all_are_ours(instance):
    ours = add(instance, "__ASSET_JOB", assets=["courses", "warehouse"])
    add(instance, "__ASSET_JOB", assets=["courses", "my_own"])
    add(instance, "__ASSET_JOB")
    assert [one.path for one in old(instance)] == [file(instance, ours)]


def test_runs_of_others_in_the_same_instance_are_left_alone(instance):
    add(instance, "their_job", location="theirs")
    add(instance, "daily_snapshot", location="theirs")
    add(instance, "their_job")
    assert old(instance) == []


def test_within_another_project_the_location_is_theirs(instance):
    run_id = add(instance, "daily_snapshot", location="theirs")
    found = old_run_logs(instance, datetime.now(UTC), "theirs")
    assert [one.path for one in found] == [file(instance, run_id)]


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
)
def test_a_run_that_is_not_over_keeps_its_log(instance, status):
    add(instance, "daily_snapshot", status=status)
    assert old(instance) == []


def test_the_file_that_a_deleted_run_leaves_goes_too(instance):
    run_id = add(instance, "daily_snapshot")
    instance.delete_run(run_id)
    grow_old(instance)
    assert file(instance, run_id).exists()  # Dagster empties it, and leaves it as large as it was
    assert [one.path for one in old(instance)] == [file(instance, run_id)]


def test_what_all_runs_share_is_left_alone(instance):
    instance.report_runless_asset_event(dg.AssetMaterialization("my_own"))
    other = Path(instance.root_directory) / "storage" / "my_own"
    other.mkdir(parents=True)
    grow_old(instance)
    assert old(instance) == []


def test_an_instance_that_keeps_its_logs_elsewhere_has_none_on_this_disk(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        assert old(instance) == []
