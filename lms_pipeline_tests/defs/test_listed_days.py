"""The partitions begin on the first listed day, and what is stored from earlier days does no harm."""

from datetime import date

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
from lms_pipeline.defs.failures import describe_failure
from lms_pipeline.defs.instance import rebuild_warehouse
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import keys, sense, tick
from lms_pipeline_tests.support.lake_files import enrollment, publish

UNIFIED = dg.AssetKey("unified_enrollments")
MONDAY = date(2026, 3, 9)
OLD = date(2026, 3, 6)


@pytest.fixture
def unset(settings):
    """Settings without LMS_START_DATE."""
    return settings.model_copy(update={"start_date": None})


@pytest.fixture
def windowed(unset):
    """Settings with which Dagster lists the days since Monday, the day before `DAY`."""
    return unset.model_copy(update={"partition_days": 1})


def find_first_days(repository):
    """Return the first day of every asset and check that has days."""
    graph = repository.asset_graph
    nodes = [graph.get(key) for key in (*graph.materializable_asset_keys, *graph.asset_check_keys)]
    found = [node.partitions_def for node in nodes if node.partitions_def is not None]
    days = [
        one.get_partitions_def_for_dimension("date") if isinstance(one, dg.MultiPartitionsDefinition) else one
        for one in found
    ]
    return {one.start.date() if isinstance(one, dg.DailyPartitionsDefinition) else None for one in days}


def test_all_assets_and_checks_begin_on_the_first_day_of_the_registry(unset, registry):
    registry.add("older", name=None, first_day=OLD)
    assert find_first_days(build_defs(unset).get_repository_def()) == {OLD}


def test_all_assets_and_checks_begin_on_the_monday_of_the_window(windowed, registry):
    registry.add("older", name=None, first_day=OLD)
    assert find_first_days(build_defs(windowed).get_repository_def()) == {MONDAY}


def test_definitions_that_were_loaded_before_the_first_account_list_its_first_day(unset, instance, registry):
    registry_file = unset.data_dir / "state" / "accounts.json"
    content = registry_file.read_bytes()
    registry_file.unlink()
    repository = build_defs(unset).get_repository_def()
    registry_file.write_bytes(content)
    requested = tick(repository, instance).run_requests
    assert keys(requested) == ["north|2026-03-10", "south|2026-03-10"]
    partitions = repository.asset_graph.get(UNIFIED).partitions_def
    assert partitions
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        assert all(partitions.has_partition_key(request.partition_key) for request in requested)


@pytest.mark.parametrize("name", ["account_registry", "failed_days", "waiting_pulls"])
def test_sensors_work_with_a_window(windowed, instance, registry, name):
    result = sense(build_defs(windowed).get_repository_def(), instance, name)
    assert keys(result.run_requests) == (["north|2026-03-10", "south|2026-03-10"] if name == "account_registry" else [])


class TestDaysBeforeTheWindow:
    """`north` has a snapshot of a day that is no longer listed, and one of `DAY`."""

    @pytest.fixture(autouse=True)
    def stored(self, data, registry):
        registry.add("older", name=None, first_day=OLD)
        for day in (OLD, DAY):
            publish(data, "north", day, enrollment("u1"))

    def test_are_not_reported(self, instance, data):
        missing = find_missing_events(instance, data, MONDAY)
        assert [event.partition_key for event in missing] == ["north|2026-03-10"]

    def test_that_were_reported_before_break_no_status(self, instance, data, windowed):
        report_events(instance, data, find_missing_events(instance, data), min_cohort=1)
        assert instance.get_materialized_partitions(UNIFIED) == {"north|2026-03-06", "north|2026-03-10"}
        partitions = build_defs(windowed).get_repository_def().asset_graph.get(UNIFIED).partitions_def
        assert partitions
        with dg.partition_loading_context(dynamic_partitions_store=instance):
            status = get_and_update_asset_status_cache_value(instance, UNIFIED, partitions)
            assert status
            listed = status.deserialize_materialized_partition_subsets(partitions).get_partition_keys()
        assert set(listed) == {"north|2026-03-10"}

    def test_have_a_portfolio_without_events(self, instance, data, windowed):
        for day in (OLD, DAY):
            publish(data, "north", day, {"n_all": 1}, table=ACCOUNT_COMPLETION)
        assert rebuild_warehouse(build_defs(windowed), instance).error is None
        stored = {folder.name for folder in (data.lake / "portfolio_completion").iterdir()}
        assert stored == {"snapshot_date=2026-03-06", "snapshot_date=2026-03-10"}
        assert instance.get_materialized_partitions(dg.AssetKey("portfolio_completion")) == {"2026-03-10"}

    def test_end_a_run_that_was_launched_for_one_with_a_sentence(self, instance, windowed):
        add_accounts(instance, ["north"])
        job = build_defs(windowed).resolve_job_def("daily_snapshot")
        tags = {
            "dagster/partition": f"north|{OLD}",
            "dagster/partition/account": "north",
            "dagster/partition/date": OLD.isoformat(),
        }
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        assert describe_failure(result.all_events, with_error_text=True) == (
            "2026-03-06 is before 2026-03-09, the first day that Dagster lists: run `lms-pipeline materialize --date 2026-03-06`."
        )

    @pytest.mark.parametrize(
        ("first", "last"),
        [(("north", OLD), ("south", OLD)), (("north", OLD), ("north", MONDAY))],
        ids=["accounts", "days"],
    )
    def test_end_a_run_of_a_range_with_one_of_them_with_a_sentence(self, instance, unset, windowed, first, last):
        add_accounts(instance, ["north", "south"])
        before, job = (
            build_defs(one).resolve_job_def("daily_snapshot")
            for one in (unset.model_copy(update={"start_date": OLD}), windowed)
        )
        names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
        tags = {name: f"{account}|{day}" for name, (account, day) in zip(names, (first, last), strict=True)}
        run = instance.create_run_for_job(before, tags=tags)
        result = execute_run(InMemoryJob(job), run, instance)
        assert describe_failure(result.all_events, with_error_text=True) == (
            "2026-03-06 is before 2026-03-09, the first day that Dagster lists: run `lms-pipeline materialize --date 2026-03-06`."
        )
