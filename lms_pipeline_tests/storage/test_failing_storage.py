"""A store or a state that can't be used for a moment: what it holds is not damaged, and nothing is done for good."""

import shutil
from typing import NoReturn

import dagster as dg
import pytest

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.accounts.rules import Rule
from lms_pipeline.checks.rules import find_unmatched_in_lake
from lms_pipeline.defs.event_log_sync import MissingEvent, report_events
from lms_pipeline.defs.run_requests import find_missing_snapshots
from lms_pipeline.errors import LakeError, StorageError
from lms_pipeline.housekeeping.cleanup import find_expired, remove
from lms_pipeline.housekeeping.policy import ExpiredItem, RetentionPolicy
from lms_pipeline.lake import index_sync, roll_up_reading, warehouse_file_views
from lms_pipeline.lake.index_sync import finish_changes, read_index, rebuild_index
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.lake.roll_up_reading import CurrentRollUps, find_current_roll_ups
from lms_pipeline.lake.row_drop import refuse_row_drop
from lms_pipeline.lake.warehouse import build_warehouse
from lms_pipeline.metrics.portfolio_days import find_portfolio_changes
from lms_pipeline.report.reading import read_qualities
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.state import HeldError, LostLockError, StateError
from lms_pipeline.storage.store import PublishedByAnotherError, StoreError, UnsafeStoreError
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.data_directory import OLD, TODAY
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    SECOND,
    enrollment,
    publish,
    publish_each_table,
    publish_small_lake,
)

ACME = Partition("acme", FIRST)
POLICY = RetentionPolicy(today=TODAY, rejected_days=30)


def open_lake(folder):
    return open_in_bucket(folder / "scratch", FolderBucket(folder / "scratch", folder / "bucket"))


@pytest.fixture
def data(tmp_path):
    """A lake in a bucket."""
    return open_lake(tmp_path)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folders of a small lake in a bucket, for copies."""
    folder = tmp_path_factory.mktemp("published")
    publish_small_lake(open_lake(folder))
    return folder


@pytest.fixture
def small(published, tmp_path):
    """A small lake in a bucket."""
    return open_lake(shutil.copytree(published, tmp_path, dirs_exist_ok=True))


def fail_store(*_: object) -> NoReturn:
    fail(StoreError)


def fail(kind: type[StorageError]) -> NoReturn:
    raise kind("It can't be reached.")


@pytest.mark.parametrize("kind", [StoreError, PublishedByAnotherError, StateError, HeldError, LostLockError])
def test_its_errors_are_none_of_a_damaged_lake_and_may_pass(kind):
    assert issubclass(kind, StorageError)
    assert not issubclass(kind, LakeError)
    assert kind.may_pass


def test_a_store_that_can_not_hold_the_lake_does_not_pass():
    assert not UnsafeStoreError.may_pass


class TestAStoreThatFails:
    def test_does_not_let_a_drop_of_rows_pass(self, data, monkeypatch):
        publish(data, "acme", FIRST, *(enrollment(f"u{number}") for number in range(10)))
        monkeypatch.setattr(data.store, "read_range", fail_store)
        with pytest.raises(StoreError):
            refuse_row_drop(data, Partition("acme", SECOND), 0, 0.5)

    def test_does_not_keep_payloads_for_ever(self, data, monkeypatch):
        publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        publish(data, "acme", OLD, enrollment("u1"))
        with monkeypatch.context() as patch:
            patch.setattr(data.store, "read_range", fail_store)
            with pytest.raises(StoreError):
                find_expired(data, POLICY)
        assert [item.kind for item in find_expired(data, POLICY)] == ["rejected payloads"]

    def test_does_not_leave_an_account_out_of_a_report(self, data, monkeypatch):
        publish_each_table(data, "acme", FIRST)
        monkeypatch.setattr(data.store, "read_range", fail_store)
        with pytest.raises(StoreError):
            read_qualities(data, [ACME])

    def test_does_not_hide_a_schema_version_from_the_index(self, data, monkeypatch):
        publish(data, "acme", FIRST, enrollment("u1"))
        with monkeypatch.context() as patch:
            patch.setattr(data.store, "read_range", fail_store)
            with pytest.raises(StoreError):
                rebuild_index(data)
        [day] = read_index(data, lambda index: index.find(day=FIRST))
        assert day.schema_version == SCHEMA_VERSION

    def test_does_not_fetch_the_whole_lake_for_a_view(self, small, monkeypatch):
        for day in find_outdated_days(small):
            roll_up_day(small, day)
        looked_at = []
        monkeypatch.setattr(small.store, "fetch", fail_store)

        def find_days(_data, _record, *days, tables):
            looked_at.append(days)
            return {}

        monkeypatch.setattr(warehouse_file_views, "find_days", find_days)
        with pytest.raises(StoreError):
            build_warehouse(small)
        assert () not in looked_at  # all days

    def test_does_not_write_a_roll_up_again(self, small, monkeypatch, caplog):
        roll_up_day(small, FIRST)
        monkeypatch.setattr(small.store, "read_range", fail_store)
        with pytest.raises(StoreError):
            roll_up_day(small, FIRST)
        assert "is written again" not in caplog.text

    def test_does_not_compute_a_day_of_the_portfolio_again(self, small, monkeypatch):
        monkeypatch.setattr(small.store, "read_range", fail_store)
        with pytest.raises(StoreError):
            find_portfolio_changes(small, [RegisteredAccount(id="acme", name="Acme", first_day=FIRST)])

    def test_does_not_leave_the_rules_of_an_account_unchecked(self, data, monkeypatch):
        publish_each_table(data, "acme", FIRST)
        monkeypatch.setattr(data.store, "fetch", fail_store)
        with pytest.raises(StoreError):
            find_unmatched_in_lake({1: Rule(account="acme", course="c1", mandatory=True)}, data, [ACME])

    def test_does_not_leave_a_file_out_of_dagsters_log(self, data, monkeypatch):
        publish_each_table(data, "acme", FIRST)
        monkeypatch.setattr(data.store, "find", fail_store)
        missing = [MissingEvent(UNIFIED_ENROLLMENTS, ACME)]
        with dg.DagsterInstance.ephemeral() as instance, pytest.raises(StoreError):
            report_events(instance, data, missing, min_cohort=1)

    @pytest.mark.parametrize("kind", [StoreError, PublishedByAnotherError, StateError])
    def test_keeps_what_it_can_not_remove_and_no_other_item(self, data, monkeypatch, kind):
        paths = [data.root / data.checkpoint_key(Partition(name, OLD)) for name in ("acme", "beta")]
        items = [ExpiredItem("answers", path, 1) for path in paths]
        first = data.get_key(items[0].path)
        monkeypatch.setattr(data.store, "remove", lambda key: fail(kind) if key == first else None)
        warnings: list[str] = []
        assert remove(data, items, warnings.append) == items[1:]
        assert len(warnings) == 1


class TestAStateThatFails:
    @pytest.fixture
    def unindexed(self, data, monkeypatch):
        """The lake, with an account and day and an old payload, whose index can't be reached."""
        publish_each_table(data, "acme", FIRST)
        publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        for module in (index_sync, roll_up_reading):
            monkeypatch.setattr(module, "open_index", lambda *_, **__: fail(StateError))
        return data

    def test_does_not_undo_what_was_published(self, unindexed, caplog):
        finish_changes(unindexed, ACME, "run-1")
        assert "The index does not have acme" in caplog.text

    def test_does_not_hide_what_is_published_from_a_tick(self, unindexed):
        other = Partition("beta", FIRST)
        assert find_missing_snapshots(unindexed, FIRST, ["acme", "beta"]) == [other]

    def test_does_not_keep_readers_from_the_files(self, unindexed, monkeypatch):
        monkeypatch.setattr(roll_up_reading, "list_signatures", lambda *_: {"a roll-up": b""})
        assert find_current_roll_ups(unindexed, UNIFIED_ENROLLMENTS, FIRST, FIRST) == CurrentRollUps()

    def test_does_not_keep_payloads_from_being_found(self, unindexed):
        assert [item.kind for item in find_expired(unindexed, POLICY)] == ["rejected payloads"]

    @pytest.mark.parametrize("where", ["index_sync.open_index", "warehouse.write_views"])
    def test_fails_a_build_of_the_warehouse_which_may_pass(self, data, monkeypatch, where):
        monkeypatch.setattr(f"lms_pipeline.lake.{where}", lambda *_, **__: fail(StateError))
        with pytest.raises(StateError) as raised:
            build_warehouse(data)
        assert raised.value.may_pass

    def test_does_not_keep_items_of_the_disk_from_being_removed(self, data, monkeypatch):
        monkeypatch.setattr(FileState, "remove_old", lambda *_: fail(StateError))
        item = ExpiredItem("answers", data.checkpoint_path(Partition("acme", OLD)), 1)
        assert remove(data, [item]) == [item]
