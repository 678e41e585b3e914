"""Copies of old events are removed from the file that all runs share, and what Dagster shows stays."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs import index_events
from lms_pipeline.defs.index_events import COPIED_EVENTS, remove_index_events
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.jobs import OUR_ASSETS, remove_old_events
from lms_pipeline.defs.run_requests import JOB_NAMES
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_run_logs import add

UNIFIED = dg.AssetKey("unified_enrollments")
CHECK = dg.AssetCheckKey(UNIFIED, "key_is_unique")


def run_sql(instance, sql, **values):
    with instance.event_log_storage.index_connection() as connection:
        done = connection.execute(sqlalchemy.text(sql), values)
        return [tuple(row) for row in done] if done.returns_rows else done.rowcount


def count_events(instance):
    """Count the events in the index by type."""
    return Counter(dict(run_sql(instance, "SELECT dagster_event_type, count(*) FROM event_logs GROUP BY 1")))


def grow_old(instance, days=91):
    then = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
    run_sql(instance, "UPDATE event_logs SET timestamp = :then", then=then.isoformat(" "))
    add_newest(instance)


def add_newest(instance):
    """Add an event after all others that is no copy."""
    run_sql(
        instance,
        "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) "
        "VALUES ('', '{}', 'STEP_OUTPUT', '2030-01-01 00:00:00')",
    )


def add_copy(instance, run_id):
    """Add an old event of a run to the index."""
    run_sql(
        instance,
        "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) "
        "VALUES (:run_id, '{}', 'ASSET_CHECK_EVALUATION', '2020-01-01 00:00:00')",
        run_id=run_id,
    )


def remove_old(instance, location="lms_pipeline"):
    before = datetime.now(UTC) - timedelta(days=90)
    return remove_index_events(instance, before, jobs=JOB_NAMES, assets=OUR_ASSETS, location=location)


def describe(instance, settings):
    """Return what the pages of the assets show: partitions, their figures, checks, and runs."""
    storage, defs = instance.event_log_storage, build_defs(settings)
    repository = defs.get_repository_def()
    shown: dict[object, object] = {}
    for key in repository.asset_graph.materializable_asset_keys:
        partitions = repository.asset_graph.get(key).partitions_def
        with dg.partition_loading_context(dynamic_partitions_store=instance):
            status = get_and_update_asset_status_cache_value(instance, key, partitions) if partitions else None
            shown[key] = (
                instance.get_materialized_partitions(key),
                instance.fetch_materializations(key, limit=50).records,
                status and (status.serialized_materialized_partition_subset, status.serialized_failed_partition_subset),
            )
    for check in repository.asset_graph.asset_check_keys:
        shown[check] = storage.get_asset_check_execution_history(check, limit=50)
    return shown | {"runs": [(run.run_id, run.status) for run in instance.get_runs()]}


@pytest.mark.usefixtures("after_a_run")
class TestOldEvents:
    @pytest.fixture
    def failed(self, after_a_run, settings, instance, data):
        """A failed run of a third account, whose partition Dagster shows as failed."""
        Registry(data).add("nowhere", name=None, first_day=DAY)
        (outcome,) = run_partitions(build_defs(settings), instance, [Partition("nowhere", DAY)])
        assert outcome.error
        grow_old(instance)

    @pytest.mark.usefixtures("failed")
    def test_are_removed_and_pages_show_the_same(self, instance, settings):
        before, events = describe(instance, settings), count_events(instance)
        assert before[CHECK]
        copies = sum(events[kind] for kind in COPIED_EVENTS)
        assert remove_old(instance) == copies > 100
        assert count_events(instance) == Counter({kind: n for kind, n in events.items() if kind not in COPIED_EVENTS})
        assert describe(instance, settings) == before

    def test_do_not_disturb_the_next_run_of_the_partition(self, instance, settings):
        grow_old(instance)
        remove_old(instance)
        (again,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
        assert (again.error, again.failed_checks) == (None, ())

    def test_are_removed_in_batches(self, instance, monkeypatch):
        monkeypatch.setattr(index_events, "BATCH_SIZE", 7)
        grow_old(instance)
        remove_old(instance)
        assert not count_events(instance).keys() & set(COPIED_EVENTS)

    def test_are_kept_until_they_are_old(self, instance):
        grow_old(instance, days=89)
        assert remove_old(instance) == 0

    def test_are_kept_for_ever_without_a_retention(self, instance, settings):
        grow_old(instance)
        assert remove_old_events(settings.model_copy(update={"run_log_days": 0}), instance) == 0
        assert remove_old_events(settings, instance) > 0


@pytest.mark.parametrize(
    ("job_name", "fields", "is_removed"),
    [
        ("daily_snapshot", {}, True),
        ("daily_snapshot", {"location": "lms_pipeline"}, True),
        ("daily_snapshot", {"location": "theirs"}, False),
        ("their_job", {}, False),
        ("__ASSET_JOB", {"assets": ["courses", "warehouse"]}, True),
        ("__ASSET_JOB", {"assets": ["courses", "my_own"]}, False),
        ("daily_snapshot", {"status": dg.DagsterRunStatus.STARTED}, False),
    ],
)
def test_only_events_of_finished_runs_of_ours_are_removed(instance, job_name, fields, is_removed):
    add_copy(instance, add(instance, job_name, **fields))
    add_newest(instance)
    assert remove_old(instance) == int(is_removed)


def test_events_of_a_deleted_run_are_removed(instance):
    run_id = add(instance, "their_job", location="theirs")
    add_copy(instance, run_id)
    add_newest(instance)
    instance.run_storage.delete_run(run_id)
    assert remove_old(instance) == 1


def test_the_newest_event_is_kept_since_its_id_would_be_used_again(instance):
    run_id = add(instance, "daily_snapshot")
    add_copy(instance, run_id)
    add_copy(instance, run_id)
    newest = instance.event_log_storage.get_maximum_record_id()
    assert remove_old(instance) == 1
    add_copy(instance, run_id)
    assert instance.event_log_storage.get_maximum_record_id() == newest + 1


def test_events_of_no_run_are_kept(instance):
    add_copy(instance, "")
    add_newest(instance)
    assert remove_old(instance) == 0


def test_a_log_that_is_not_in_sqlite_is_left_as_it_is():
    with dg.DagsterInstance.ephemeral() as instance:
        assert remove_old(instance) == 0
