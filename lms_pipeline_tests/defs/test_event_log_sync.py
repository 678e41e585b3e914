"""Where Dagster's log was lost, its catalogue is told anew from the lake."""

import shutil
from datetime import timedelta

import dagster as dg
import pytest
import sqlalchemy

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log_sync import AT_ONCE, find_missing_events, tell
from lms_pipeline.defs.instance import open_instance, run_partitions
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import sense
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, enrollment, publish

NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)
BOTH = {"north|2026-03-10", "south|2026-03-10"}


def known(instance):
    return {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in TABLES}


def latest(instance, asset):
    return instance.get_latest_materialization_event(dg.AssetKey(asset))


def metadata(event):
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.fixture
def empty(tmp_path, new_instance):
    """An instance that knows nothing, and a data directory without a run."""
    return new_instance, DataDir(tmp_path / "data")


class TestLostLog:
    @pytest.fixture
    def settings(self, published, tmp_path, monkeypatch):
        """What was published, and a log that is empty."""
        assert find_missing_events(published.instance, published.data) == []
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        return published.settings.model_copy(update={"dagster_home_set": tmp_path / "dagster"})

    def test_shows_every_partition_of_every_table_again(self, instance, data):
        assert known(instance) == {table: set() for table in TABLES}
        assert tell(instance, data, find_missing_events(instance, data)) == 2 * len(TABLES) + 1
        assert known(instance) == dict.fromkeys(TABLES, BOTH)
        assert latest(instance, "warehouse") is not None

    def test_is_told_once(self, instance, data):
        tell(instance, data, find_missing_events(instance, data))
        assert find_missing_events(instance, data) == []
        assert tell(instance, data, find_missing_events(instance, data)) == 0

    def test_tells_the_same_figures_as_the_runs_did(self, instance, data, published):
        tell(instance, data, find_missing_events(instance, data))
        before = metadata(latest(published.instance, "account_completion"))
        assert metadata(latest(instance, "account_completion")) == {
            name: figure for name, figure in before.items() if name != "seconds"
        }
        enrollments = metadata(latest(instance, "unified_enrollments"))
        figures = ("dagster/partition_row_count", "strategy", "complete", "requests")
        assert tuple(enrollments[name] for name in figures) == (1, "sweep", True, 4)

    def test_tells_when_the_files_were_published_and_no_run(self, instance, data):
        tell(instance, data, find_missing_events(instance, data))
        event = latest(instance, "account_completion")
        file = data.file(TABLES["account_completion"], SOUTH)
        assert event.timestamp == file.stat().st_mtime
        assert event.run_id == ""

    def test_takes_in_the_accounts_so_that_no_sensor_pulls_them_again_as_new(self, instance, data, settings):
        tell(instance, data, find_missing_events(instance, data))
        assert instance.get_dynamic_partitions("account") == ["north", "south"]
        repository = build_defs(settings).get_repository_def()
        assert sense(repository, instance, "account_registry").run_requests == []


@pytest.fixture
def lost(after_a_run, settings):
    """What ran is known to nobody."""
    shutil.rmtree(settings.dagster_home)


def test_what_is_run_afterwards_is_left_to_the_runs(lost, instance, data, settings):
    tell(instance, data, find_missing_events(instance, data))
    (again,) = run_partitions(build_defs(settings), instance, [NORTH])
    assert again.error is None
    assert latest(instance, "unified_enrollments").run_id != ""
    assert find_missing_events(instance, data) == []


def test_what_is_known_is_not_told_again(empty):
    instance, data = empty
    publish(data, "acme", FIRST, enrollment("u1"))
    instance.report_runless_asset_event(
        dg.AssetMaterialization("unified_enrollments", partition="acme|2026-03-01")
    )
    publish(data, "acme", SECOND, enrollment("u1"))
    assert [one.partition.day for one in find_missing_events(instance, data)] == [SECOND]


def test_the_newest_day_is_told_last_whatever_its_account(empty):
    instance, data = empty
    for account_id, day in (("zoo", SECOND), ("acme", THIRD), ("mid", FIRST)):
        publish(data, account_id, day, enrollment("u1"))
    tell(instance, data, find_missing_events(instance, data))
    assert latest(instance, "unified_enrollments").dagster_event.partition == "acme|2026-03-03"


def test_accounts_are_taken_in_of_the_registry_and_of_the_lake(empty):
    instance, data = empty
    Registry(data.registry).add("new", name=None, first_day=FIRST)
    publish(data, "lost", FIRST, enrollment("u1"))
    tell(instance, data, [])
    assert instance.get_dynamic_partitions("account") == ["new", "lost"]


def test_what_a_killed_pull_left_is_not_told(empty, caplog):
    instance, data = empty
    publish(data, "acme", FIRST, {"payload": "{}"}, table=RAW_ENROLLMENTS)
    assert tell(instance, data, find_missing_events(instance, data)) == 0
    assert "its pull did not finish" in caplog.text


def test_a_damaged_file_is_not_told_and_keeps_no_other_from_it(empty, caplog):
    instance, data = empty
    publish(data, "acme", FIRST, enrollment("u1"))
    publish(data, "acme", SECOND, enrollment("u1"))
    data.file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST)).write_bytes(b"no Parquet")
    assert tell(instance, data, find_missing_events(instance, data)) == 1
    assert "is damaged" in caplog.text


def test_more_than_are_stored_at_once_are_told(empty):
    instance, data = empty
    file = publish(data, "acme", FIRST, enrollment("u1")).path
    for number in range(AT_ONCE):
        other = data.file(UNIFIED_ENROLLMENTS, Partition("acme", SECOND + timedelta(days=number)))
        other.parent.mkdir(parents=True)
        other.hardlink_to(file)
    assert tell(instance, data, find_missing_events(instance, data)) == AT_ONCE + 1
    assert find_missing_events(instance, data) == []


def test_events_stored_together_are_what_dagster_stores_one_by_one(empty, tmp_path):
    """The one place that knows Dagster's storage: a new version of it may store more than we do."""
    together, data = empty
    for account_id in ("acme", "other"):
        publish(data, account_id, FIRST, enrollment("u1"))
    tell(together, data, find_missing_events(together, data))
    asset = dg.AssetKey("unified_enrollments")
    with open_instance(Settings(dagster_home_set=tmp_path / "one by one")) as one_by_one:
        for record in reversed(together.fetch_materializations(asset, limit=9).records):
            one_by_one.report_runless_asset_event(record.asset_materialization)
        assert seen(one_by_one, asset) == seen(together, asset)
        add_accounts(one_by_one, ["acme", "other"])
        assert index(one_by_one) == index(together)


def seen(instance, asset):
    """What Dagster answers of an asset, but for times."""
    records = instance.fetch_materializations(asset, limit=9).records
    (asset_record,) = instance.get_asset_records([asset])
    return (
        [(one.storage_id, one.partition_key, one.run_id, one.asset_materialization) for one in records],
        asset_record.asset_entry.last_materialization.asset_materialization,
        asset_record.asset_entry.last_materialization_storage_id,
        instance.get_event_tags_for_asset(asset),
        instance.get_materialized_partitions(asset),
        instance.has_asset_key(asset),
    )


def index(instance):
    """How many rows each table of the index has."""
    metadata = sqlalchemy.MetaData()
    with instance.event_log_storage.index_connection() as connection:
        metadata.reflect(connection)
        return {
            table.name: connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(table))
            for table in metadata.sorted_tables
        }


def test_other_storages_store_them_in_their_own_way(tmp_path, empty):
    _, data = empty
    publish(data, "acme", FIRST, enrollment("u1"))
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        tell(instance, data, find_missing_events(instance, data))
        assert find_missing_events(instance, data) == []
