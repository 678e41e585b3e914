"""Logs of old runs are removed, and what Dagster shows of partitions stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance, run_partitions
from lms_pipeline.defs.run_logs import ASSET_JOB, find_expired_run_logs
from lms_pipeline.defs.run_requests import JOB_NAMES
from lms_pipeline.housekeeping.cleanup import remove
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.catalog import MATERIALIZABLE_ASSETS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.data_directory import age

ASSET = dg.AssetKey("unified_enrollments")


def find_old(instance):
    """Find logs last written more than ninety days ago."""
    return find_expired_run_logs(
        instance, datetime.now(UTC) - timedelta(days=90), jobs=JOB_NAMES, assets=frozenset(MATERIALIZABLE_ASSETS)
    )


def log_file(instance, run_id):
    return Path(instance.event_log_storage.path_for_shard(run_id))


def grow_old(instance, days=91):
    instance.event_log_storage.dispose()  # closes the files, so that each log is one
    for path in [*Path(instance.root_directory).rglob("*")]:
        age(path, days)


def add(instance, job_name, *, status=dg.DagsterRunStatus.SUCCESS, location=None, assets=None):
    """Add a run whose log has one event, and make the log old."""
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
class TestLogsOfRuns:
    @pytest.fixture
    def run_ids(self, instance):
        """Old runs of two accounts and of the warehouse."""
        grow_old(instance)
        return [run.run_id for run in instance.get_runs()]

    def test_are_removed_with_the_output_of_their_steps(self, instance, run_ids, data):
        logs = {log_file(instance, run_id) for run_id in run_ids}
        output = {Path(instance.root_directory) / "storage" / run_id for run_id in run_ids}
        assert max(log.stat().st_size for log in logs) > 100_000
        assert all(folder.is_dir() for folder in output)
        expired = find_old(instance)
        assert {item.path for item in expired} == logs | output
        assert {item.bytes for item in expired if item.path in logs} == {log.stat().st_size for log in logs}
        assert remove(data, expired) == expired
        assert not any(path.exists() for path in logs | output)
        assert find_old(instance) == []

    def test_leave_the_runs_and_their_materializations(self, instance, run_ids, data, settings):
        before = instance.fetch_materializations(ASSET, limit=9).records
        remove(data, find_old(instance))
        assert instance.get_materialized_partitions(ASSET) == {"north|2026-03-10", "south|2026-03-10"}
        assert instance.fetch_materializations(ASSET, limit=9).records == before
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        with open_instance(settings) as later:
            assert [later.all_logs(run_id) for run_id in run_ids] == [[], [], []]

    def test_do_not_disturb_the_next_run_of_the_partition(self, instance, run_ids, data, settings):
        remove(data, find_old(instance))
        (again,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
        assert again.error is None

    def test_are_kept_until_they_are_old(self, instance, run_ids):
        grow_old(instance, days=89)
        assert find_old(instance) == []


def test_job_names_are_those_of_the_definitions(settings):
    jobs = build_defs(settings).get_repository_def().get_all_jobs()
    assert {job.name for job in jobs if job.name != ASSET_JOB} == JOB_NAMES


@pytest.mark.parametrize("job_name", ["daily_snapshot", "watch_fleet", "housekeeping"])
@pytest.mark.parametrize("location", [None, "lms_pipeline"])
def test_logs_of_our_jobs_expire_wherever_they_were_launched(instance, job_name, location):
    run_id = add(instance, job_name, location=location)
    assert [item.path for item in find_old(instance)] == [log_file(instance, run_id)]


def test_logs_of_asset_runs_expire_if_all_their_assets_are_ours(instance):
    ours = add(instance, "__ASSET_JOB", assets=["courses", "warehouse"])
    add(instance, "__ASSET_JOB", assets=["courses", "my_own"])
    add(instance, "__ASSET_JOB")
    assert [item.path for item in find_old(instance)] == [log_file(instance, ours)]


def test_logs_of_other_projects_in_the_instance_stay(instance):
    add(instance, "their_job", location="theirs")
    add(instance, "daily_snapshot", location="theirs")
    add(instance, "their_job")
    assert find_old(instance) == []


def test_within_another_project_its_location_counts(instance):
    run_id = add(instance, "daily_snapshot", location="theirs")
    found = find_expired_run_logs(
        instance, datetime.now(UTC), jobs=JOB_NAMES, assets=frozenset(MATERIALIZABLE_ASSETS), location="theirs"
    )
    assert [item.path for item in found] == [log_file(instance, run_id)]


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
)
def test_an_active_run_keeps_its_log(instance, status):
    add(instance, "daily_snapshot", status=status)
    assert find_old(instance) == []


def test_the_file_of_a_deleted_run_expires_too(instance):
    run_id = add(instance, "daily_snapshot")
    instance.delete_run(run_id)
    grow_old(instance)
    assert log_file(instance, run_id).exists()  # Dagster empties it and keeps its size
    assert [item.path for item in find_old(instance)] == [log_file(instance, run_id)]


def test_files_that_all_runs_share_stay(instance):
    instance.report_runless_asset_event(dg.AssetMaterialization("my_own"))
    other = Path(instance.root_directory) / "storage" / "my_own"
    other.mkdir(parents=True)
    grow_old(instance)
    assert find_old(instance) == []


def test_an_instance_without_logs_on_this_disk_has_nothing_to_remove(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        assert find_old(instance) == []
