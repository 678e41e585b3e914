import subprocess
import sys
import warnings
import zoneinfo

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.resources import Warehouse
from lms_pipeline.errors import SettingsError
from lms_pipeline.tables.catalog import STORED_TABLES, TABLES, VIEWS


@pytest.fixture
def defs(settings):
    return build_defs(settings)


def specs(defs):
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_definitions_load_without_a_warning(settings):
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        dg.Definitions.validate_loadable(build_defs(settings))
    assert [str(warning.message) for warning in raised] == []


def test_loading_the_definitions_imports_nothing_that_only_runs_need():
    """Every Dagster process loads them: pyarrow, httpx and pandas would add a second, Dagster's storage half a second."""
    program = "import sys, lms_pipeline.definitions; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    heavy = {"pyarrow", "pandas", "numpy", "httpx", "starlette", "sqlalchemy", "alembic"}
    assert set(loaded.splitlines()) & heavy == set()


def test_assets_have_the_names_of_the_tables(defs):
    assert set(specs(defs)) == {*TABLES, "truto", "by_day", "warehouse", "completion_report"}


def test_assets_are_in_their_groups(defs):
    groups = {name: spec.group_name for name, spec in specs(defs).items()}
    pulled = ["truto", "raw_enrollments", "unified_enrollments", "rejected_enrollments", "learners", "courses"]
    assert {groups[name] for name in pulled} == {"pull"}
    assert {groups[table.name] for table in STORED_TABLES} == {"metrics"}
    assert groups["warehouse"] == groups["by_day"] == "warehouse"


def test_every_asset_has_owners_a_description_and_kinds(defs):
    incomplete = [name for name, spec in specs(defs).items() if not (spec.owners and spec.description and spec.kinds)]
    assert incomplete == []


def test_every_table_lists_its_columns_with_descriptions(defs):
    for name, table in TABLES.items():
        schema = specs(defs)[name].metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == table.column_names
        assert all(column.description for column in schema.columns)


def test_asset_lineage_leads_from_the_api_to_the_warehouse(defs):
    deps = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs(defs).items()}
    assert deps["unified_enrollments"] == {"truto"}
    assert deps["raw_enrollments"] == {"truto"}
    assert deps["account_completion"] == {"unified_enrollments"}
    assert deps["attention"] == {"unified_enrollments"}
    assert deps["portfolio_completion"] == {"account_completion"}
    assert deps["warehouse"] == {*TABLES, "by_day"}
    assert deps["by_day"] == set(TABLES) - {"raw_enrollments", "rejected_enrollments", "portfolio_completion"}


def test_column_lineage_agrees_with_the_lineage_of_the_assets(defs):
    assets = specs(defs)
    columns = {
        name: {column.name for column in spec.metadata["dagster/column_schema"].columns}
        for name, spec in assets.items()
        if name not in {"by_day", "warehouse", "completion_report"}
    }
    for name in TABLES:
        by_column = assets[name].metadata["dagster/column_lineage"].deps_by_column
        assert set(by_column) == columns[name]
        for dep in (dep for deps in by_column.values() for dep in deps):
            assert dep.asset_key in {upstream.asset_key for upstream in assets[name].deps}
            assert dep.column_name in columns[dep.asset_key.to_user_string()]


def test_column_lineage_leads_from_the_api_over_the_role_to_a_rate(defs):
    def find_upstream(asset, column):
        deps = specs(defs)[asset].metadata["dagster/column_lineage"].deps_by_column[column]
        return {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}

    assert ("unified_enrollments", "role") in find_upstream("account_completion", "completion_rate")
    assert ("truto", "course-enrollments.remote_data") in find_upstream("unified_enrollments", "role")
    assert ("truto", "course-enrollments.remote_data") in find_upstream("raw_enrollments", "payload")


def test_column_descriptions_name_their_sources_without_those_of_all_columns(defs):
    account = specs(defs)["account_completion"]
    columns = {column.name: column.description for column in account.metadata["dagster/column_schema"].columns}
    assert columns["n_completed"].endswith("\n\nFrom `completed_at`, `status`")
    assert columns["n_all"].endswith("\n\nFrom `assigned_at`, `enrolled_at`, `fetched_at`, `role`")
    assert "All figures also depend on `assigned_at`, `enrolled_at`, `fetched_at`, `role`" in account.description


def test_the_source_lists_the_fields_of_the_api_with_the_columns_they_determine(defs):
    fields = {
        column.name: column.description for column in specs(defs)["truto"].metadata["dagster/column_schema"].columns
    }
    assert fields["course-enrollments.score"] == "Determines `unified_enrollments.score`"
    assert fields["users.last_name"] == "Determines `learners.user_name`, `unified_enrollments.user_name`"


def test_tables_with_names_or_e_mails_are_tagged(defs):
    tagged = {name for name, spec in specs(defs).items() if "personal_data" in spec.tags}
    enrollments = {"raw_enrollments", "unified_enrollments", "rejected_enrollments"}
    assert tagged == enrollments | {"learners", "learner_completion", "attention"}


def test_tables_are_partitioned_by_account_and_date(defs):
    partitions = specs(defs)["unified_enrollments"].partitions_def
    assert isinstance(partitions, dg.MultiPartitionsDefinition)
    assert {dimension.name for dimension in partitions.partitions_defs} == {"account", "date"}


def test_the_portfolio_is_partitioned_by_the_days_of_the_accounts(defs):
    assets = specs(defs)
    days = assets["portfolio_completion"].partitions_def
    assert days == assets["account_completion"].partitions_def.get_partitions_def_for_dimension("date")


def test_a_day_of_the_portfolio_depends_on_that_day_of_every_account(defs, instance):
    instance.add_dynamic_partitions("account", ["north", "south"])
    portfolio = next(asset for asset in defs.assets if getattr(asset, "op", None) and asset.op.name == "portfolio")
    days = portfolio.partitions_def
    accounts = specs(defs)["account_completion"].partitions_def
    mapping = portfolio.get_partition_mapping(dg.AssetKey("account_completion"))
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(
            days.empty_subset().with_partition_keys(["2026-03-10"]), days, accounts
        )
        keys = set(found.partitions_subset.get_partition_keys())
    assert keys == {"north|2026-03-10", "south|2026-03-10"}


def test_lms_now_ends_the_daily_partitions(defs):
    partitions = specs(defs)["unified_enrollments"].partitions_def
    days = partitions.get_partitions_def_for_dimension("date")
    assert days.get_partition_keys() == [f"2026-03-{day:02}" for day in range(1, 11)]


def test_dagster_reads_the_time_zones_that_decide_which_day_is_open(defs):
    """Without a path there is only the package `tzdata`."""
    assert zoneinfo.TZPATH == ()


def test_the_description_of_the_source_says_that_lms_now_is_set(settings, defs):
    assert "LMS_NOW is set: 2026-03-11T02:00:00+00:00" in specs(defs)["truto"].description
    without = build_defs(settings.model_copy(update={"frozen_now": None}))
    assert "LMS_NOW" not in specs(without)["truto"].description


def test_the_metadata_of_the_code_location_has_lms_now(defs):
    assert defs.metadata["LMS_NOW"].value == "2026-03-11T02:00:00+00:00"


def test_the_job_the_schedule_and_the_sensor_have_their_public_names(defs):
    repository = defs.get_repository_def()
    assert repository.has_job("daily_snapshot")
    assert "daily_snapshot" in {schedule.name for schedule in repository.schedule_defs}
    assert "account_registry" in {sensor.name for sensor in repository.sensor_defs}


def test_another_project_can_include_the_package_and_query_the_warehouse(settings, data, instance, registry):
    from lms_pipeline.lake.warehouse import build_warehouse

    build_warehouse(data)

    @dg.asset
    def my_own(duckdb: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult[None]:
        with duckdb.get_connection() as connection:
            return dg.MaterializeResult(metadata={"tables": len(connection.sql("SHOW TABLES").fetchall())})

    merged = dg.Definitions.merge(build_defs(settings), dg.Definitions(assets=[my_own]))
    result = dg.materialize(
        [my_own], resources=merged.resources, instance=instance, selection=[my_own], raise_on_error=True
    )
    (event,) = result.get_asset_materialization_events()
    assert event.step_materialization_data.materialization.metadata["tables"].value == len(TABLES | VIEWS)


def test_an_invalid_cron_expression_is_refused_with_one_sentence(settings):
    with pytest.raises(SettingsError, match=r"^LMS_SCHEDULE can't be used: it must be a cron expression"):
        build_defs(settings.model_copy(update={"schedule": "daily at two"}))
