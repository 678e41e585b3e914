"""Old events are removed from a log in PostgreSQL, and Dagster shows the same of every partition."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs import index_events
from lms_pipeline.defs.index_events import MATERIALIZED, PLANNED, remove_index_events
from lms_pipeline.defs.instance import rebuild_warehouse
from lms_pipeline.defs.jobs import OUR_ASSETS, remove_old_events
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.defs.run_locks import run_lock
from lms_pipeline.defs.run_requests import JOB_NAMES
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.defs.batches.conftest import build_range, dimensions
from lms_pipeline_tests.defs.conftest import DAY, build_settings, serve_accounts
from lms_pipeline_tests.distributed.conftest import create_database, open_deployed

pytestmark = pytest.mark.distributed
KEPT = {PLANNED, MATERIALIZED, "ASSET_OBSERVATION"}
NEWEST = "PIPELINE_SUCCESS"
"""The newest event of the log, which stays too."""


def execute(settings, instance, tags):
    """Execute a run as the queue does."""
    job = build_defs(settings).resolve_job_def("daily_snapshot")
    run = instance.create_run_for_job(job, tags=tags)
    with run_lock(instance, run.run_id):
        execute_run(InMemoryJob(job), run, instance)
    return instance.get_run_by_id(run.run_id)


@pytest.fixture(scope="module")
def history(postgres, extra, tmp_path_factory):
    """A database with runs of a range and of one account, of which some failed and were repeated, and of a warehouse."""
    folder = tmp_path_factory.mktemp("history")
    with serve_accounts(folder) as sandbox, pytest.MonkeyPatch.context() as environment:
        database = create_database(postgres, environment)
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        settings = build_settings(sandbox, folder)
        for account_id in ("north", "south"):
            Registry.open(settings).add(account_id, name=None, first_day=DAY)
        sandbox.fault(Status(status=403, account="south"))
        with open_deployed(settings, "docker") as instance:
            add_accounts(instance, ["north", "south"])
            for tags in (build_range("north", "south"), *(_name(account) for account in ("south", "north", "south"))):
                execute(settings, instance, tags)
            assert rebuild_warehouse(build_defs(settings), instance).error is None
    return database


def _name(account):
    return {"dagster/partition": f"{account}|{DAY}", **dimensions(account)}


@pytest.fixture
def database(postgres, history, monkeypatch):
    """A copy of the database of the history, which the environment names."""
    return create_database(postgres, monkeypatch, history)


@pytest.fixture
def instance(deploy):
    """An instance whose log is in PostgreSQL. No run is launched."""
    return deploy("docker")


def run_sql(instance, sql, **values):
    with instance.event_log_storage.index_connection() as connection:
        done = connection.execute(sqlalchemy.text(sql), values)
        return [tuple(row) for row in done] if done.returns_rows else done.rowcount


def count_events(instance):
    return Counter(dict(run_sql(instance, "SELECT dagster_event_type, count(*) FROM event_logs GROUP BY 1")))


def grow_old(instance, days=91):
    then = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None).isoformat(" ")
    run_sql(instance, "UPDATE event_logs SET timestamp = :then", then=then)
    run_sql(instance, "UPDATE asset_check_executions SET evaluation_event_timestamp = :then", then=then)


def remove_old(instance, days=90, **options):
    before = datetime.now(UTC) - timedelta(days=days)
    return remove_index_events(instance, before, jobs=JOB_NAMES, assets=OUR_ASSETS, **options)


def describe(instance, settings):
    """Return what the pages of the assets show of partitions, read from the log: Dagster's cache is emptied before."""
    storage, graph = instance.event_log_storage, build_defs(settings).get_repository_def().asset_graph
    shown: dict[object, Any] = {"runs": [(run.run_id, run.status) for run in instance.get_runs()]}
    for key in graph.materializable_asset_keys:
        storage.wipe_asset_cached_status(key)
        partitions = graph.get(key).partitions_def
        with dg.partition_loading_context(dynamic_partitions_store=instance):
            status = get_and_update_asset_status_cache_value(instance, key, partitions) if partitions else None
        [entry] = [record.asset_entry for record in instance.get_asset_records([key])] or [None]
        shown[key] = (
            instance.get_materialized_partitions(key),
            instance.fetch_materializations(key, limit=50).records,
            instance.fetch_observations(key, limit=50).records,
            status and (status.serialized_materialized_partition_subset, status.serialized_failed_partition_subset),
            entry and (entry.last_run_id, entry.last_materialization_storage_id, entry.last_materialization_record),
            storage.get_latest_asset_partition_materialization_attempts_without_materializations(key),
            storage.get_latest_planned_materialization_info(key),
        )
    return shown


def has_failed(shown, name):
    """Return what Dagster keeps of the failed partitions of an asset."""
    return shown[dg.AssetKey(name)][3][1]


class TestOldEvents:
    def test_are_removed_and_partitions_show_the_same(self, instance, settings):
        grow_old(instance)
        before, events = describe(instance, settings), count_events(instance)
        assert "south" in has_failed(before, "unified_enrollments")
        assert remove_old(instance) > 100
        after = count_events(instance)
        assert describe(instance, settings) == before
        assert after.keys() == {*KEPT, NEWEST}
        assert [after[kind] for kind in (MATERIALIZED, "ASSET_OBSERVATION")] == [
            events[kind] for kind in (MATERIALIZED, "ASSET_OBSERVATION")
        ]
        assert 0 < after[PLANNED] < events[PLANNED] / 2

    def test_are_counted_first(self, instance):
        grow_old(instance)
        before = count_events(instance)
        expected = remove_old(instance, is_dry_run=True)
        assert count_events(instance) == before
        assert remove_old(instance) == expected
        assert remove_old(instance) == 0

    def test_are_removed_in_batches(self, instance, monkeypatch):
        monkeypatch.setattr(index_events, "BATCH_SIZE", 7)
        grow_old(instance)
        remove_old(instance)
        assert count_events(instance).keys() == {*KEPT, NEWEST}

    def test_are_kept_until_they_are_old(self, instance):
        grow_old(instance, days=89)
        assert remove_old(instance) == 0

    def test_are_kept_for_ever_without_a_retention(self, instance, settings):
        grow_old(instance)
        assert remove_old_events(settings.model_copy(update={"run_log_days": 0}), instance) == 0
        assert remove_old_events(settings, instance) > 0

    def test_of_another_project_stay(self, instance):
        grow_old(instance)
        run_sql(instance, "UPDATE runs SET run_body = replace(run_body, 'daily_snapshot', 'their_job')")
        run_sql(instance, "UPDATE runs SET run_body = replace(run_body, 'rebuild_warehouse', 'their_job')")
        assert remove_old(instance) == 0

    @pytest.mark.usefixtures("registry")
    def test_do_not_disturb_the_next_run(self, instance, settings):
        grow_old(instance)
        remove_old(instance)
        assert execute(settings, instance, build_range("north", "south")).is_success


class TestResultsOfChecks:
    def count(self, instance):
        return run_sql(instance, "SELECT count(*) FROM asset_check_executions")[0][0]

    def test_stay_for_ninety_days_however_short_the_retention_is(self, instance):
        before = self.count(instance)
        grow_old(instance, days=89)
        assert remove_old(instance, days=7) > 100
        assert self.count(instance) == before

    def test_go_afterwards_except_the_latest_of_each_check(self, instance):
        checks = run_sql(instance, "SELECT count(DISTINCT (asset_key, check_name)) FROM asset_check_executions")[0][0]
        assert self.count(instance) > checks > 10
        grow_old(instance)
        remove_old(instance)
        assert self.count(instance) == checks
