"""Check-only runs without a partition, as the button "Execute all" of the Checks tab starts them."""

from datetime import timedelta

import dagster as dg
import pytest

from lms_pipeline.checks.metrics import METRIC_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.definitions import build_defs
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.lake_files import enrollment, publish

TABLES_WITH_CHECKS = sorted({check.tables[0].name for check in (*PULL_CHECKS, *METRIC_CHECKS)})


@pytest.fixture
def execute_all(settings, instance):
    """Run all checks of a table, or the named ones, without a partition."""

    def execute(table, *names):
        checks = [check for check in (*PULL_CHECKS, *METRIC_CHECKS) if check.tables[0].name == table]
        selected = {dg.AssetCheckKey(dg.AssetKey(table), name) for name in names or [check.name for check in checks]}
        job = build_defs(settings).get_repository_def().get_job("__ASSET_JOB")
        return job.get_subset(asset_selection=frozenset(), asset_check_selection=selected).execute_in_process(
            instance=instance, raise_on_error=False
        )

    return execute


@pytest.fixture(scope="module")
def made_for_all(published, tmp_path_factory, make_home):
    """The results of one run of all checks of accounts, each by its table and name. Read-only."""
    home = tmp_path_factory.mktemp("checks") / "dagster"
    make_home(home)
    with dg.DagsterInstance.from_config(str(home)) as opened:
        job = build_defs(published.settings).get_repository_def().get_job("__ASSET_JOB")
        checks = (*PULL_CHECKS, *METRIC_CHECKS)
        selected = {dg.AssetCheckKey(dg.AssetKey(check.tables[0].name), check.name) for check in checks}
        subset = job.get_subset(asset_selection=frozenset(), asset_check_selection=selected)
        result = subset.execute_in_process(instance=opened)
    assert result.success
    return {(one.asset_key.to_user_string(), one.check_name): one for one in result.get_asset_check_evaluations()}


def read_results(result):
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def read_failure(result):
    """Return the sentence of the failed step."""
    [failure] = result.filter_events(lambda event: event.is_step_failure)
    return failure.step_failure_data.user_failure_data.description


@pytest.mark.parametrize("table", TABLES_WITH_CHECKS)
def test_every_check_looks_at_the_latest_snapshot_of_each_active_account(made_for_all, table):
    made = {name: one for (of_table, name), one in made_for_all.items() if of_table == table}
    assert set(made) == {check.name for check in (*PULL_CHECKS, *METRIC_CHECKS) if check.tables[0].name == table}
    assert {(one.passed, one.partition) for one in made.values()} == {(True, None)}
    assert {one.description for one in made.values()} == {
        "The latest snapshots of 2 active accounts pass, the oldest of them of 2026-03-10."
    }
    assert {one.metadata["snapshots"].value for one in made.values()} == {2}


@pytest.mark.usefixtures("after_a_run")
class TestPublished:
    """Both accounts have a snapshot of the day."""

    def test_a_check_that_fails_for_one_account_names_it_and_its_day(self, execute_all, data):
        publish(data, "south", DAY + timedelta(days=1), enrollment("u1", status="unknown", status_raw="paused"))
        made = read_results(execute_all("unified_enrollments", "statuses_are_known", "roles_are_known"))
        assert {name: one.passed for name, one in made.items()} == {
            "statuses_are_known": False,
            "roles_are_known": True,
        }
        failed = made["statuses_are_known"]
        assert failed.severity == dg.AssetCheckSeverity.WARN
        assert failed.description == (
            "The latest snapshot of 1 of 2 active accounts fails. south on 2026-03-11: 1 enrollment has a status that is "
            "not documented: it counts as not completed."
        )
        [row] = failed.metadata["rows_in_question"].records
        assert row.data == {
            "account_id": "south",
            "snapshot_date": "2026-03-11",
            "status_raw": "paused",
            "enrollments": 1,
        }

    def test_an_earlier_day_does_not_count(self, execute_all, data):
        publish(data, "south", DAY - timedelta(days=1), enrollment("u1", status="unknown", status_raw="paused"))
        assert read_results(execute_all("unified_enrollments", "statuses_are_known"))["statuses_are_known"].passed

    def test_the_result_for_a_single_account_is_that_of_its_snapshot(self, execute_all, registry):
        registry.remove("south", last_day=DAY)
        made = read_results(execute_all("unified_enrollments", "served_is_stored"))["served_is_stored"]
        assert made.description == (
            "north on 2026-03-10: 3 enrollments were fetched or carried over (3 served): 3 are stored, 0 rejected, 0 "
            "duplicates."
        )
        assert made.metadata["stored"].value == 3

    def test_a_damaged_file_fails_its_account_only(self, execute_all, data):
        data.file(UNIFIED_ENROLLMENTS, Partition("south", DAY)).write_bytes(b"no Parquet")
        made = read_results(execute_all("unified_enrollments", "statuses_are_known"))["statuses_are_known"]
        assert not made.passed
        assert (made.description or "").startswith(
            "The latest snapshot of 1 of 2 active accounts fails. south on 2026-03-10: "
        )
        assert "is damaged" in (made.description or "")

    def test_a_blocking_check_that_fails_ends_the_run_with_one_sentence_after_all_results(self, execute_all, data):
        data.file(UNIFIED_ENROLLMENTS, Partition("south", DAY)).write_bytes(b"no Parquet")
        result = execute_all("unified_enrollments")
        assert not result.success
        assert len(read_results(result)) == len([one for one in PULL_CHECKS if one.tables[0] is UNIFIED_ENROLLMENTS])
        sentence = read_failure(result)
        assert sentence.startswith("The published files fail the check schema: The latest snapshot of 1 of 2")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("table", choose(["account_completion", "unified_enrollments"], TABLES_WITH_CHECKS))
def test_without_a_snapshot_the_run_fails_with_one_sentence(execute_all, table):
    result = execute_all(table)
    assert not result.success
    assert read_failure(result) == f"There is no {table} of any active account to check: materialize it first."
