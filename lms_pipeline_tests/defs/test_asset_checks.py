"""The asset checks, as Dagster runs and shows them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.checks.base import Finding
from lms_pipeline.checks.fleet import FLEET_CHECKS
from lms_pipeline.checks.metrics import METRIC_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.asset_checks import build_check_result
from lms_pipeline.defs.instance import QUIET_CONFIG, run_partitions
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.lake_files import enrollment, publish

NORTH = Partition("north", DAY)
ALLOW_DROP = {"ops": {"pull": {"config": {"allow_drop": True}}}}
LATER = datetime(2026, 3, 13, 2, tzinfo=UTC)


@pytest.fixture
def run(settings, instance, registry):
    """Run the daily job for the account `north`."""

    def runs(config=None, select=(), **changed):
        add_accounts(instance, ["north", "south"])
        job = build_defs(settings.model_copy(update=changed)).resolve_job_def("daily_snapshot")
        return job.execute_in_process(
            run_config={**QUIET_CONFIG, **(config or {})},
            instance=instance,
            partition_key=build_partition_key(NORTH),
            asset_selection=[dg.AssetKey(name) for name in select] or None,
            raise_on_error=False,
        )

    return runs


def evaluations(result):
    return by_asset_and_name(result.get_asset_check_evaluations())


def by_asset_and_name(made):
    by_key = {(one.asset_key.to_user_string(), one.check_name): one for one in made}
    assert len(by_key) == len(made)
    return by_key


def materialized(result):
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


class TestSnapshot:
    @pytest.fixture
    def made(self, published):
        """The check results of the run of `north`, by asset and name."""
        runs = published.instance.get_runs(dg.RunsFilter(job_name="daily_snapshot"))
        logged = published.instance.all_logs(runs[-1].run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [one.dagster_event.asset_check_evaluation_data for one in logged]
        return by_asset_and_name(found)

    def test_a_run_evaluates_every_check_of_its_tables_and_all_pass(self, made):
        checks = (*PULL_CHECKS, *METRIC_CHECKS)
        assert set(made) == {(check.tables[0].name, check.name) for check in checks}
        assert [key for key, one in made.items() if not one.passed] == []

    def test_each_result_explains_itself_with_numbers(self, made):
        stored = made["unified_enrollments", "served_is_stored"]
        assert stored.description == (
            "3 enrollments were fetched or carried over (3 served): 3 are stored, 0 rejected, 0 duplicates."
        )
        assert stored.metadata["stored"].value == 3
        assert [key for key, one in made.items() if not (one.description and one.metadata)] == []

    def test_no_result_contains_a_name(self, made):
        shown = repr([(one.description, one.metadata) for one in made.values()])
        assert "Learner" not in shown

    def test_each_check_has_a_description(self, settings):
        graph = build_defs(settings).get_repository_def().asset_graph
        specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
        assert {spec.name for spec in specs} == {
            *(check.name for check in (*PULL_CHECKS, *METRIC_CHECKS)),
            *(check.name for check in FLEET_CHECKS),
        }
        assert [spec.name for spec in specs if not spec.description] == []

    def test_a_row_drop_is_a_warning_with_the_change(self, run, data):
        publish(data, "north", DAY - timedelta(days=1), *(enrollment(f"x{number}") for number in range(23)))
        result = run(ALLOW_DROP, ["unified_enrollments"])
        drop = evaluations(result)["unified_enrollments", "row_drop"]
        assert (drop.passed, drop.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert drop.metadata["change"].value == -20
        assert result.success

    @pytest.mark.usefixtures("after_a_run")
    def test_metrics_are_not_computed_from_a_file_with_a_wrong_schema(self, run, data):
        path = data.file(UNIFIED_ENROLLMENTS, NORTH)
        metadata = read_provenance(path)
        spoiled = pq.read_table(path).drop_columns("status_raw")
        pq.write_table(spoiled.replace_schema_metadata(metadata), path)
        result = run(select=["unified_enrollments", "account_completion"], frozen_now=LATER)
        assert not result.success
        found = evaluations(result)["unified_enrollments", "schema"]
        assert [row.data for row in found.metadata["rows_in_question"].records] == [
            {"table": "unified_enrollments", "column": "status_raw", "expected": "string", "found": "nothing"}
        ]
        assert "account_completion" not in materialized(result)
        (failure,) = result.filter_events(lambda event: event.is_step_failure)
        assert failure.step_failure_data.user_failure_data.description == (
            "The published files of north|2026-03-10 fail the check schema, so no metrics are computed: unified_enrollments: "
            "1 column is not as described."
        )


def read_provenance(path):
    """Return the metadata of a file without what holds for its bytes only."""
    metadata = pq.read_metadata(path).metadata
    return {name: metadata[name] for name in metadata.keys() - {b"ARROW:schema", b"lms_pipeline.checksum"}}


class TestIdsOfPeople:
    """Dagster keeps the results of checks for ever, in its index, whatever `LMS_RUN_LOG_DAYS` is."""

    @pytest.fixture
    def spoil(self, data):
        """Write the enrollments of `north` again, each `times`, with ids that a scan finds."""

        def spoil(times):
            path = data.file(UNIFIED_ENROLLMENTS, NORTH)
            table = pq.read_table(path)
            for name in ("user_id", "enrollment_id", "assigned_by_id"):
                position = table.schema.get_field_index(name)
                ids = pa.array([f"canary-{name}-{row}" for row in range(len(table))], table.schema.field(name).type)
                table = table.set_column(position, table.schema.field(position), ids)
            spoiled = pa.concat_tables([table] * times)
            pq.write_table(spoiled.replace_schema_metadata(read_provenance(path)), path)

        return spoil

    @pytest.mark.parametrize(("times", "check", "rows"), [(2, "key_is_unique", 3), (1, "agrees_with_raw", 6)])
    @pytest.mark.usefixtures("after_a_run")
    def test_are_in_no_file_of_dagster(self, run, spoil, times, check, rows, instance):
        spoil(times)

        found = evaluations(run(frozen_now=LATER))["unified_enrollments", check]

        assert not found.passed
        assert len(found.metadata["rows_in_question"].records) == rows
        files = [path for path in Path(instance.root_directory).rglob("*") if path.is_file()]
        assert files != []
        assert [path for path in files if b"canary-" in path.read_bytes()] == []

    def test_a_row_with_nothing_else_is_left_out(self):
        key = dg.AssetCheckKey(dg.AssetKey("learners"), "key_is_unique")
        finding = Finding(passed=False, message="One.", rows=[{"user_id": "canary"}])

        result = build_check_result(key, PULL_CHECKS[1], finding)

        assert result.metadata == {}


class TestAllowDrop:
    def test_publishes_in_one_run_what_is_otherwise_refused(self, settings, instance, registry, data):
        publish(data, "north", DAY - timedelta(days=1), *(enrollment(f"x{number}") for number in range(23)))
        defs = build_defs(settings)
        (refused,) = run_partitions(defs, instance, [NORTH], ["unified_enrollments"])
        assert "would have 3 enrollments where 2026-03-09 has 23: a drop of 87%" in (refused.error or "")
        (published,) = run_partitions(defs, instance, [NORTH], ["unified_enrollments"], allow_drop=True)
        assert (published.error, published.enrollments) == (None, 3)


class TestFleet:
    def watch(self, settings, instance, **changed):
        job = build_defs(settings.model_copy(update=changed)).resolve_job_def("watch_fleet")
        return evaluations(job.execute_in_process(run_config=QUIET_CONFIG, instance=instance))

    def test_is_checked_by_its_own_job(self, settings, instance, registry):
        made = self.watch(settings, instance)
        assert set(made) == {("warehouse", check.name) for check in FLEET_CHECKS}
        assert [key for key, one in made.items() if not one.passed] == []

    def test_warns_that_lms_now_is_set(self, settings, instance, registry):
        self.watch(settings, instance)
        [run] = instance.get_runs()
        assert run.tags["LMS_NOW"] == settings.frozen_now.isoformat()

    def test_failed_days_are_counted_apart_from_days_without_a_run(self, settings, instance, registry, sandbox):
        sandbox.fault(Status(status=403, account="north"))
        list(run_partitions(build_defs(settings), instance, [NORTH], ["unified_enrollments"]))
        missing = self.watch(settings, instance, frozen_now=LATER)["warehouse", "no_day_is_missing"]
        counts = {name: missing.metadata[name].value for name in ("missing", "failed", "never_asked")}
        # the 10th and 11th of both accounts, of which one had a run
        assert (missing.passed, counts) == (False, {"missing": 4, "failed": 1, "never_asked": 3})

    def test_a_failed_run_of_the_catalog_is_no_day_without_a_run(self, settings, instance, registry):
        tags = {"dagster/partition/account": "north", "dagster/partition/date": str(DAY)}
        instance.add_run(dg.DagsterRun(job_name="__ASSET_JOB", status=dg.DagsterRunStatus.FAILURE, tags=tags))
        missing = self.watch(settings, instance, frozen_now=LATER)["warehouse", "no_day_is_missing"]
        assert (missing.metadata["failed"].value, missing.metadata["never_asked"].value) == (1, 3)

    def test_an_account_without_snapshots_is_found_beside_one_with_them(self, settings, instance, registry, data):
        publish(data, "north", DAY, enrollment("u1"))
        day_after = datetime(2026, 3, 12, 2, tzinfo=UTC)
        fresh = self.watch(settings, instance, frozen_now=day_after)["warehouse", "accounts_are_fresh"]
        assert not fresh.passed
        assert [row.data["account_id"] for row in fresh.metadata["rows_in_question"].records] == ["south"]
