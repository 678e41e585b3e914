"""Published files that Dagster's event log lacks, as after its loss, are reported to it."""

import shutil
from datetime import timedelta

import dagster as dg
import pytest
import sqlalchemy

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log_sync import BATCH_SIZE, find_missing_events, report_events
from lms_pipeline.defs.instance import open_instance, run_partitions
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import sense
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.index_marks import replace_marks
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, enrollment, publish

NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)
BOTH = {"north|2026-03-10", "south|2026-03-10"}


def find_known(instance):
    return {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in TABLES}


def read_latest(instance, asset):
    return instance.get_latest_materialization_event(dg.AssetKey(asset))


def metadata(event):
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.fixture
def empty(tmp_path, new_instance):
    """A new instance, and an empty data directory."""
    return new_instance, DataDir(tmp_path / "data")


class TestLostLog:
    @pytest.fixture
    def settings(self, published, tmp_path, monkeypatch):
        """Settings for published data with an empty event log."""
        assert find_missing_events(published.instance, published.data) == []
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        return published.settings.model_copy(update={"dagster_home_set": tmp_path / "dagster"})

    def test_has_every_partition_of_every_table_again(self, instance, data):
        assert find_known(instance) == {table: set() for table in TABLES}
        of_accounts = [name for name, table in TABLES.items() if table.per_account]
        assert (
            report_events(instance, data, find_missing_events(instance, data), min_cohort=1) == 2 * len(of_accounts) + 2
        )
        assert find_known(instance) == dict.fromkeys(of_accounts, BOTH) | {"portfolio_completion": {"2026-03-10"}}
        assert read_latest(instance, "warehouse") is not None

    def test_is_restored_once(self, instance, data):
        report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
        assert find_missing_events(instance, data) == []
        assert report_events(instance, data, find_missing_events(instance, data), min_cohort=1) == 0

    def test_has_the_same_figures_as_from_the_runs(self, instance, data, published):
        report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
        before = metadata(read_latest(published.instance, "account_completion"))
        assert metadata(read_latest(instance, "account_completion")) == {
            name: figure for name, figure in before.items() if name != "seconds"
        }
        before = metadata(read_latest(published.instance, "portfolio_completion"))
        assert metadata(read_latest(instance, "portfolio_completion")) == before
        enrollments = metadata(read_latest(instance, "unified_enrollments"))
        figures = ("dagster/partition_row_count", "strategy", "complete", "requests")
        assert tuple(enrollments[name] for name in figures) == (1, "sweep", True, 4)

    def test_has_events_at_the_time_of_publication_without_a_run(self, instance, data):
        report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
        event = read_latest(instance, "account_completion")
        file = data.file(TABLES["account_completion"], SOUTH)
        assert event.timestamp == file.stat().st_mtime_ns / 1e9
        assert event.run_id == ""

    def test_has_the_accounts_again_so_that_no_sensor_pulls_them_as_new(self, instance, data, settings):
        report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
        assert instance.get_dynamic_partitions("account") == ["north", "south"]
        repository = build_defs(settings).get_repository_def()
        assert sense(repository, instance, "account_registry").run_requests == []


@pytest.fixture
def lost(after_a_run, settings):
    """Published data whose event log is deleted."""
    shutil.rmtree(settings.dagster_home)


def test_files_published_by_a_run_afterwards_are_not_missing(lost, instance, data, settings):
    report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
    selected = ["unified_enrollments", "account_completion"]
    (again,) = run_partitions(build_defs(settings), instance, [NORTH], selected)
    assert again.error is None
    assert read_latest(instance, "unified_enrollments").run_id != ""
    assert find_missing_events(instance, data) == []


def test_files_in_a_bucket_are_not_fetched_but_for_the_figures_of_an_account(published, new_instance, tmp_path):
    bucket = FolderBucket(tmp_path / "scratch", published.settings.data_dir)
    data = open_in_bucket(tmp_path / "scratch", bucket)
    assert report_events(new_instance, data, find_missing_events(new_instance, data), min_cohort=1) > 4
    fetched = {path.parts[-4 if "account_id" in str(path) else -3] for path in data.lake.rglob("*.parquet")}
    assert fetched == {"account_completion", "portfolio_completion"}
    known = metadata(read_latest(new_instance, "raw_enrollments"))
    before = metadata(read_latest(published.instance, "raw_enrollments"))
    figures = ("dagster/partition_row_count", "strategy", "complete", "file_bytes", "requests")
    assert [known[name] for name in figures] == [before[name] for name in figures]


def test_materialized_partitions_are_not_missing(empty):
    instance, data = empty
    publish(data, "acme", FIRST, enrollment("u1"))
    instance.report_runless_asset_event(dg.AssetMaterialization("unified_enrollments", partition="acme|2026-03-01"))
    publish(data, "acme", SECOND, enrollment("u1"))
    assert [event.partition.day for event in find_missing_events(instance, data)] == [SECOND]


def test_the_newest_day_is_reported_last_whichever_its_account(empty):
    instance, data = empty
    for account_id, day in (("zoo", SECOND), ("acme", THIRD), ("mid", FIRST)):
        publish(data, account_id, day, enrollment("u1"))
    report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
    assert read_latest(instance, "unified_enrollments").dagster_event.partition == "acme|2026-03-03"


def test_accounts_of_the_registry_and_of_the_lake_become_partitions(empty):
    instance, data = empty
    Registry(data).add("new", name=None, first_day=FIRST)
    publish(data, "lost", FIRST, enrollment("u1"))
    report_events(instance, data, [], min_cohort=1)
    assert instance.get_dynamic_partitions("account") == ["new", "lost"]


def test_files_of_a_killed_pull_are_not_reported(empty, caplog):
    instance, data = empty
    publish(data, "acme", FIRST, {"payload": "{}"}, table=RAW_ENROLLMENTS)
    assert report_events(instance, data, find_missing_events(instance, data), min_cohort=1) == 0
    assert "its pull did not finish" in caplog.text


def test_a_damaged_file_is_not_reported_and_does_not_stop_the_others(empty, caplog):
    instance, data = empty
    publish(data, "acme", FIRST, enrollment("u1"))
    publish(data, "acme", SECOND, enrollment("u1"))
    data.file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST)).write_bytes(b"no Parquet")
    assert report_events(instance, data, find_missing_events(instance, data), min_cohort=1) == 1
    assert "is damaged" in caplog.text


def test_more_than_one_batch_is_reported(empty):
    instance, data = empty
    file = publish(data, "acme", FIRST, enrollment("u1")).path
    for number in range(BATCH_SIZE):
        other = data.file(UNIFIED_ENROLLMENTS, Partition("acme", SECOND + timedelta(days=number)))
        other.parent.mkdir(parents=True)
        other.hardlink_to(file)
    assert report_events(instance, data, find_missing_events(instance, data), min_cohort=1) == BATCH_SIZE + 1
    assert find_missing_events(instance, data) == []


def test_reported_events_are_stored_like_runless_events_of_dagster(empty, tmp_path):
    """Our events are built by hand: a new version of Dagster may store more than we do."""
    reported, data = empty
    for account_id in ("acme", "other"):
        publish(data, account_id, FIRST, enrollment("u1"))
    report_events(reported, data, find_missing_events(reported, data), min_cohort=1)
    asset = dg.AssetKey("unified_enrollments")
    with open_instance(Settings(dagster_home_set=tmp_path / "runless")) as runless:
        for record in reversed(reported.fetch_materializations(asset, limit=9).records):
            runless.report_runless_asset_event(record.asset_materialization)
        assert read_asset(runless, asset) == read_asset(reported, asset)
        add_accounts(runless, ["acme", "other"])
        assert count_index_rows(runless) == count_index_rows(reported)


def read_asset(instance, asset):
    """Return what Dagster knows of an asset, without times."""
    records = instance.fetch_materializations(asset, limit=9).records
    (asset_record,) = instance.get_asset_records([asset])
    return (
        [(record.storage_id, record.partition_key, record.run_id, record.asset_materialization) for record in records],
        asset_record.asset_entry.last_materialization.asset_materialization,
        asset_record.asset_entry.last_materialization_storage_id,
        instance.get_event_tags_for_asset(asset),
        instance.get_materialized_partitions(asset),
        instance.has_asset_key(asset),
    )


def count_index_rows(instance):
    """Count the rows of each table in the index of the event log."""
    metadata = sqlalchemy.MetaData()
    with instance.event_log_storage.index_connection() as connection:
        metadata.reflect(connection)
        return {
            table.name: connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(table))
            for table in metadata.sorted_tables
        }


def test_events_are_reported_to_other_storages_too(tmp_path, empty):
    _, data = empty
    publish(data, "acme", FIRST, enrollment("u1"))
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
        assert find_missing_events(instance, data) == []


class TestCost:
    """After a comparison, the files that changed since are compared with the events that came since."""

    @pytest.fixture
    def queries(self, empty, monkeypatch):
        """The queries of Dagster's storage: by table, and after which event."""
        instance, _ = empty
        queries = []
        get = instance.get_materialized_partitions

        def note(key, before_cursor=None, after_cursor=None):
            queries.append((key.to_user_string(), after_cursor is not None))
            return get(key, before_cursor, after_cursor)

        monkeypatch.setattr(instance, "get_materialized_partitions", note)
        return queries

    @staticmethod
    def publish_and_report(instance, data, account, day):
        publish(data, account, day, enrollment("u1"))
        key = f"{account}|{day}"
        instance.report_runless_asset_event(dg.AssetMaterialization("unified_enrollments", partition=key))

    def test_of_a_comparison_without_a_change_is_no_query(self, empty, queries):
        instance, data = empty
        self.publish_and_report(instance, data, "acme", FIRST)
        assert find_missing_events(instance, data) == []
        queries.clear()
        assert find_missing_events(instance, data) == []
        assert queries == []

    def test_of_a_new_day_is_a_query_for_new_events(self, empty, queries):
        instance, data = empty
        self.publish_and_report(instance, data, "acme", FIRST)
        find_missing_events(instance, data)
        self.publish_and_report(instance, data, "acme", SECOND)
        queries.clear()
        assert find_missing_events(instance, data) == []
        assert queries == [("unified_enrollments", True)]

    def test_a_file_that_is_published_again_without_an_event_is_known(self, empty):
        instance, data = empty
        self.publish_and_report(instance, data, "acme", FIRST)
        find_missing_events(instance, data)
        publish(data, "acme", FIRST, enrollment("u2"))
        assert find_missing_events(instance, data) == []

    def test_a_file_that_was_not_reported_is_found_again(self, empty):
        instance, data = empty
        self.publish_and_report(instance, data, "acme", FIRST)
        find_missing_events(instance, data)
        publish(data, "acme", SECOND, enrollment("u1"))
        assert find_missing_events(instance, data) == find_missing_events(instance, data) != []

    def test_a_file_before_the_first_day_that_is_listed_is_not_found_again(self, empty):
        instance, data = empty
        self.publish_and_report(instance, data, "beta", SECOND)
        for day in (FIRST, SECOND):
            publish(data, "acme", day, enrollment("u1"))
        assert [event.partition.day for event in find_missing_events(instance, data)] == [FIRST, SECOND]
        assert [event.partition.day for event in find_missing_events(instance, data, SECOND)] == [SECOND]

    def test_a_file_is_found_again_after_earlier_days_are_listed_again(self, empty):
        instance, data = empty
        self.publish_and_report(instance, data, "beta", SECOND)
        publish(data, "acme", FIRST, enrollment("u1"))
        assert [find_missing_events(instance, data, day) != [] for day in (FIRST, SECOND, FIRST)] == [True, False, True]

    @pytest.mark.parametrize("text", ["{}", "no JSON"])
    def test_after_another_version_all_are_compared(self, empty, text):
        instance, data = empty
        self.publish_and_report(instance, data, "acme", FIRST)
        publish(data, "acme", SECOND, enrollment("u1"))
        find_missing_events(instance, data)
        replace_marks(data, "events", text)
        assert [event.partition.day for event in find_missing_events(instance, data)] == [SECOND]

    def test_after_the_loss_of_the_index_all_are_compared(self, empty):
        instance, data = empty
        self.publish_and_report(instance, data, "acme", FIRST)
        publish(data, "acme", SECOND, enrollment("u1"))
        find_missing_events(instance, data)
        for path in data.state.glob("index.sqlite*"):
            path.unlink()
        assert [event.partition.day for event in find_missing_events(instance, data)] == [SECOND]
