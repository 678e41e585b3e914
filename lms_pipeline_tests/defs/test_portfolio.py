"""The portfolio in Dagster: computed for each day that changed before the warehouse is built, or by its own asset."""

import os
import shutil
from datetime import timedelta

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import compute_portfolio, rebuild_warehouse, run_partitions
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.warehouse import open_warehouse
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import sense
from lms_pipeline_tests.support.lake_files import publish
from lms_pipeline_tests.support.parquet_damage import truncate

KEY = dg.AssetKey("portfolio_completion")
BEFORE = DAY - timedelta(days=1)


@pytest.fixture
def defs(settings):
    return build_defs(settings)


@pytest.fixture
def rebuild(defs, instance):
    """Return a function that runs the job of the warehouse, and returns its error and the days that it computed."""

    def run():
        outcome = rebuild_warehouse(defs, instance)
        [run] = instance.get_runs(dg.RunsFilter(job_name="rebuild_warehouse"), limit=1)
        return outcome.error, find_computed(instance, run.run_id)

    return run


def find_computed(instance, run_id):
    """Return the partitions of the portfolio that a run materialized."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    return [event.partition for event in events if event.asset_key == KEY]


def find_checks(instance, run_id):
    """Return the results of the checks of the portfolio in a run: name, partition, and whether it passed."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    found = [record.event_log_entry.dagster_event.asset_check_evaluation_data for record in records]
    return sorted((one.check_name, one.partition, one.passed) for one in found if one.asset_key == KEY)


def publish_account(data, account, *days, n_all=1):
    for day in days:
        publish(data, account, day, {"n_all": n_all}, table=ACCOUNT_COMPLETION)


def read_portfolio(data):
    rows = read("portfolio_completion", data_dir=data.root).to_pylist()
    return {row["snapshot_date"]: (row["n_all"], row["accounts"], row["accounts_missing"]) for row in rows}


def test_a_day_is_computed_after_its_runs_and_stored_in_the_warehouse(published):
    assert read_portfolio(published.data) == {DAY: (4, 2, 0)}
    assert published.instance.get_materialized_partitions(KEY) == {str(DAY)}
    with open_warehouse(published.data) as connection:
        query = "SELECT snapshot_date, n_all, n_completed, completion_rate FROM portfolio_completion"
        assert connection.sql(query).fetchall() == [(DAY, 4, 1, 0.25)]


def test_a_day_that_is_computed_is_checked(published):
    [run] = published.instance.get_runs(dg.RunsFilter(job_name="rebuild_warehouse"))
    assert find_checks(published.instance, run.run_id) == [
        ("parts_sum", str(DAY), True),
        ("rates_are_shares", str(DAY), True),
        ("schema", str(DAY), True),
    ]


class TestRefresh:
    @pytest.fixture
    def up_to_date(self, published, settings):
        """A copy of `published` with links to the tables' files: copied ones are not those the portfolio was computed from."""

        def link_or_copy(source, target):
            (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)

        published.instance.event_log_storage.dispose()  # closes its files, so that each is one file to copy
        shutil.copytree(published.settings.data_dir, settings.data_dir, copy_function=link_or_copy)
        shutil.copytree(published.settings.dagster_home, settings.dagster_home)

    @pytest.mark.usefixtures("up_to_date")
    def test_computes_nothing_without_a_change(self, rebuild):
        assert rebuild() == (None, [])

    @pytest.mark.usefixtures("up_to_date")
    def test_computes_the_days_that_an_account_gained_late(self, rebuild, data):
        publish_account(data, "north", BEFORE, n_all=50)
        assert rebuild() == (None, [str(BEFORE)])
        assert read_portfolio(data) == {BEFORE: (50, 1, 0), DAY: (4, 2, 0)}

    @pytest.mark.usefixtures("after_a_run")
    def test_computes_a_day_again_whose_account_was_computed_again(self, rebuild, data, defs, instance):
        publish_account(data, "north", BEFORE)
        rebuild()
        (outcome,) = run_partitions(defs, instance, [Partition("south", DAY)], ["account_completion"])
        assert outcome.error is None
        assert rebuild() == (None, [str(DAY)])

    @pytest.mark.usefixtures("up_to_date")
    def test_does_not_stop_at_a_damaged_account(self, published, rebuild, data):
        damaged = data.file(ACCOUNT_COMPLETION, Partition("south", DAY))
        damaged.unlink()  # a link
        shutil.copy2(published.data.file(ACCOUNT_COMPLETION, Partition("south", DAY)), damaged)
        truncate(damaged)
        assert rebuild() == (None, [str(DAY)])
        assert read_portfolio(data) == {DAY: (3, 1, 1)}

    @pytest.mark.usefixtures("after_a_run")
    def test_removes_a_day_whose_files_are_all_damaged(self, rebuild, data):
        for account in ("north", "south"):
            truncate(data.file(ACCOUNT_COMPLETION, Partition(account, DAY)))
        assert rebuild() == (None, [])
        assert read_portfolio(data) == {}

    @pytest.mark.usefixtures("after_a_run")
    def test_builds_the_warehouse_also_if_a_day_can_not_be_computed(self, rebuild, data, monkeypatch):
        from lms_pipeline.metrics import portfolio

        def fail(data: DataDir, day, *args, **more):
            if day == BEFORE:
                raise LakeError("The disk is full.")
            return publish_portfolio(data, day, *args, **more)

        publish_portfolio = portfolio.publish_portfolio
        monkeypatch.setattr(portfolio, "publish_portfolio", fail)
        publish_account(data, "north", BEFORE, DAY, n_all=50)
        assert rebuild() == ("The portfolio is not up to date: The disk is full.", [str(DAY)])
        with open_warehouse(data) as connection:
            query = "SELECT snapshot_date, n_all FROM portfolio_completion ORDER BY ALL"
            assert connection.sql(query).fetchall() == [(DAY, 51)]

    @pytest.mark.usefixtures("after_a_run")
    def test_builds_the_warehouse_also_with_a_damaged_registry(self, rebuild, data):
        data.registry.write_text("{", "utf-8")
        publish_account(data, "north", DAY, n_all=50)
        error, computed = rebuild()
        assert error.startswith("The portfolio is not up to date: The registry ")
        assert computed == []
        with open_warehouse(data) as connection:
            found = connection.sql("SELECT n_all FROM account_completion ORDER BY ALL").fetchall()
        assert found == [(1,), (50,)]


class TestAsset:
    @pytest.fixture
    def run(self, defs, instance):
        def run(*days):
            return [outcome.error for outcome in compute_portfolio(defs, instance, days)]

        return run

    def test_computes_a_day_again_and_checks_it(self, run, data, registry, instance):
        publish_account(data, "north", DAY, n_all=5)
        assert run(DAY) == [None]
        assert read_portfolio(data) == {DAY: (5, 1, 1)}
        [last] = instance.get_runs(limit=1)
        assert find_computed(instance, last.run_id) == [str(DAY)]
        assert {name for name, partition, passed in find_checks(instance, last.run_id) if passed} == {
            "parts_sum",
            "rates_are_shares",
            "schema",
        }

    def test_leaves_nothing_to_compute_to_the_warehouse(self, run, rebuild, data, registry):
        publish_account(data, "north", DAY)
        run(DAY)
        assert rebuild() == (None, [])

    def test_of_a_day_without_metrics_is_one_sentence(self, run, data, registry):
        [error] = run(DAY)
        assert str(DAY) in error
        assert error.endswith("materialize account_completion of an account and that day first.")
        assert not data.file(PORTFOLIO_COMPLETION, DayPartition(DAY)).exists()

    @pytest.mark.parametrize(
        ("tags", "error"),
        [
            ({}, "The run has no partition: select one day."),
            (
                {
                    "dagster/asset_partition_range_start": "2026-03-09",
                    "dagster/asset_partition_range_end": "2026-03-10",
                },
                "The run has several partitions: select one day.",
            ),
        ],
    )
    def test_of_another_partition_is_one_sentence(self, defs, instance, tags, error):
        job = defs.resolve_job_def("compute_portfolio")
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        [failed, *_] = [event for event in result.all_events if event.is_step_failure]
        assert failed.step_failure_data.user_failure_data.description.startswith(error)


class TestSensor:
    @pytest.fixture
    def sensed(self, defs, instance):
        repository = defs.get_repository_def()
        return lambda cursor=None: sense(repository, instance, "warehouse_refresh", cursor)

    @pytest.mark.usefixtures("after_a_run")
    def test_requests_no_build_because_of_the_days_that_a_build_computed(self, sensed, rebuild, data):
        before = sensed()
        publish_account(data, "north", BEFORE)
        assert rebuild() == (None, [str(BEFORE), str(DAY)])
        assert sensed(before.cursor).run_requests == []

    @pytest.mark.parametrize("table", ["course_completion", "attention", "completion_curve"])
    def test_requests_a_build_after_any_stored_table_was_computed(self, sensed, instance, table):
        before = sensed()
        instance.report_runless_asset_event(dg.AssetMaterialization(table, partition=f"north|{DAY}"))
        assert len(sensed(before.cursor).run_requests) == 1

    @pytest.mark.usefixtures("after_a_run")
    def test_requests_a_build_after_the_asset_was_materialized(self, sensed, defs, instance):
        before = sensed()
        assert [outcome.error for outcome in compute_portfolio(defs, instance, [DAY])] == [None]
        assert len(sensed(before.cursor).run_requests) == 1
