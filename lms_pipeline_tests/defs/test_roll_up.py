"""The roll-ups in Dagster: written for each day that changed before the warehouse is built, or by their own asset."""

from datetime import timedelta

import dagster as dg
import pytest

from lms_pipeline.accounts.registry import RegisteredAccount, Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs import roll_up as roll_up_defs
from lms_pipeline.defs.failures import RETRY_ON_FAILURE_TAG
from lms_pipeline.defs.instance import rebuild_warehouse
from lms_pipeline.defs.jobs import OUR_ASSETS
from lms_pipeline.defs.roll_up import has_roll_ups
from lms_pipeline.errors import LakeError
from lms_pipeline.lake import roll_up
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import open_warehouse
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.lake_files import enrollment, publish

KEY = dg.AssetKey("by_day")


@pytest.fixture
def on(settings):
    return settings.model_copy(update={"roll_up": "on"})


@pytest.fixture
def lake(on):
    data = DataDir(on.data_dir)
    for account in ("north", "south"):
        publish(data, account, DAY, enrollment("u1"))
    return data


def rebuild(settings, instance):
    """Run the job of the warehouse; return its error and the days that it rolled up, each with its metadata."""
    outcome = rebuild_warehouse(build_defs(settings), instance)
    [run] = instance.get_runs(dg.RunsFilter(job_name="rebuild_warehouse"), limit=1)
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    return outcome.error, {
        event.partition: {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in events
        if event.asset_key == KEY
    }


def count_tables(data):
    with open_warehouse(data) as connection:
        return connection.sql("SELECT count(*) FROM duckdb_tables() WHERE NOT internal").fetchall()[0][0]


def test_a_build_of_the_warehouse_rolls_up_the_days_that_changed(lake, on, instance):
    error, days = rebuild(on, instance)
    assert error is None
    assert list(days) == ["2026-03-10"]
    figures = days["2026-03-10"]
    assert (figures["accounts"], figures["rows_unified_enrollments"], figures["left_out"]) == (2, 2, 0)
    assert count_tables(lake) == 0


def test_the_next_build_rolls_nothing_up_again(lake, on, instance):
    rebuild(on, instance)
    assert rebuild(on, instance) == (None, {})


def test_a_day_that_dagster_does_not_list_is_rolled_up_without_an_event(lake, on, instance):
    unlisted = DAY - timedelta(days=1)
    publish(lake, "north", unlisted, enrollment("u1"))
    error, days = rebuild(on.model_copy(update={"start_date": DAY}), instance)
    assert error is None
    assert list(days) == ["2026-03-10"]
    assert lake.roll_up(UNIFIED_ENROLLMENTS, unlisted).exists()


def test_the_logs_of_its_runs_expire():
    assert "by_day" in OUR_ASSETS


def test_a_rewritten_day_is_rolled_up_again_with_another_digest(lake, on, instance):
    _, before = rebuild(on, instance)
    publish(lake, "north", DAY, enrollment("u2"))
    _, after = rebuild(on, instance)
    assert list(after) == ["2026-03-10"]
    assert after["2026-03-10"]["digest"] != before["2026-03-10"]["digest"]


def test_without_roll_ups_the_warehouse_has_tables(lake, settings, instance):
    error, days = rebuild(settings, instance)
    assert (error, days) == (None, {})
    assert count_tables(lake) > 0
    assert not lake.roll_ups.exists()


@pytest.mark.parametrize(("kind", "is_retried"), [(LakeError, "false"), (StoreError, "true")])
def test_a_build_without_a_day_is_retried_if_that_may_pass(lake, on, instance, monkeypatch, kind, is_retried):
    def fail(*_):
        raise kind("It can't be read.")

    monkeypatch.setattr(roll_up, "_write", fail)
    error, _ = rebuild(on, instance)
    assert "The roll-ups are not up to date: It can't be read." in error
    [run] = instance.get_runs(limit=1)
    assert run.tags[RETRY_ON_FAILURE_TAG] == is_retried


def test_a_day_that_cannot_be_written_stops_neither_the_others_nor_the_warehouse(lake, on, instance, monkeypatch):
    other = DAY.replace(day=9)
    publish(lake, "north", other, enrollment("u1"))
    write = roll_up._write

    def fail(path, *arguments):
        if str(other) in str(path):
            raise LakeError("The disk is full.")
        return write(path, *arguments)

    monkeypatch.setattr(roll_up, "_write", fail)
    error, days = rebuild(on, instance)
    assert error is not None
    assert "The roll-ups are not up to date: The disk is full." in error
    assert list(days) == ["2026-03-10"]
    assert lake.warehouse.exists()


def test_the_asset_rolls_up_its_day(lake, on, instance):
    defs = build_defs(on)
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, asset_selection=[KEY], partition_key=str(DAY))
    assert result.success
    [event] = result.get_asset_materialization_events()
    assert event.partition == "2026-03-10"
    assert event.step_materialization_data.materialization.metadata["accounts"].value == 2


@pytest.mark.parametrize(
    ("setting", "accounts", "expected"),
    [("auto", 500, False), ("auto", 501, True), ("on", 1, True), ("off", 501, False)],
)
def test_the_setting_decides_by_the_number_of_accounts(settings, lake, monkeypatch, setting, accounts, expected):
    registered = [RegisteredAccount(id=f"a{n}", name=f"a{n}", first_day=DAY) for n in range(accounts)]
    monkeypatch.setattr(Registry, "read_accounts", lambda _: registered)
    assert has_roll_ups(settings.model_copy(update={"roll_up": setting}), lake) is expected
    assert roll_up_defs.MAX_ACCOUNTS_WITHOUT == 500
