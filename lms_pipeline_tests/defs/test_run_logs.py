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
from lms_pipeline.defs.instance import MATERIALIZABLE, open_instance, run_partitions
from lms_pipeline.defs.run_logs import OF_ASSETS, old_run_logs
from lms_pipeline.defs.run_requests import JOB_NAMES
from lms_pipeline.housekeeping.cleanup import remove
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.data_directory import age

ASSET = dg.AssetKey("unified_enrollments")


def old(instance):
    """Written more than ninety days ago."""
    return old_run_logs(
        instance, datetime.now(UTC) - timedelta(days=90), jobs=JOB_NAMES, assets=frozenset(MATERIALIZABLE)
    )


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


@pytest.mark.usefixtures("after_a_run")
class TestOfRuns:
    @pytest.fixture
    def run_ids(self, instance):
        """Of two accounts and of the warehouse, long ago."""
        grow_old(instance)
        return [run.run_id for run in instance.get_runs()]

    def test_go_with_what_their_steps_printed(self, instance, run_ids, data):
        logs = {file(instance, run_id) for run_id in run_ids}
        printed = {Path(instance.root_directory) / "storage" / run_id for run_id in run_ids}
        assert max(log.stat().st_size for log in logs) > 100_000
        assert all(folder.is_dir() for folder in printed)
        due = old(instance)
        assert {one.path for one in due} == logs | printed
        assert {one.bytes for one in due if one.path in logs} == {log.stat().st_size for log in logs}
        assert remove(data, due) == due
        assert not any(path.exists() for path in logs | printed)
        assert old(instance) == []

    def test_leave_the_runs_and_what_is_shown_of_their_partitions(self, instance, run_ids, data, settings):
        before = instance.fetch_materializations(ASSET, limit=9).records
        remove(data, old(instance))
        assert instance.get_materialized_partitions(ASSET) == {"north|2026-03-10", "south|2026-03-10"}
        assert instance.fetch_materializations(ASSET, limit=9).records == before
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        with open_instance(settings) as later:
            assert [later.all_logs(run_id) for run_id in run_ids] == [[], [], []]

    def test_leave_the_next_run_of_the_same_partition_to_work(self, instance, run_ids, data, settings):
        remove(data, old(instance))
        (again,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
        assert again.error is None

    def test_are_kept_while_they_are_young(self, instance, run_ids):
        grow_old(instance, days=89)
        assert old(instance) == []


def test_every_job_of_ours_is_known_as_one(settings):
    jobs = build_defs(settings).get_repository_def().get_all_jobs()
    assert {job.name for job in jobs if job.name != OF_ASSETS} == JOB_NAMES


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
    found = old_run_logs(
        instance, datetime.now(UTC), jobs=JOB_NAMES, assets=frozenset(MATERIALIZABLE), location="theirs"
    )
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
