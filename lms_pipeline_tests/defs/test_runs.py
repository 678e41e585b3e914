"""Runs of the daily job with a real instance."""

import re
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline import lake
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline_tests.defs.conftest import DAY

NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)


@pytest.fixture
def run(settings, instance, registry):
    def runs(*partitions, select=(), **changed):
        defs = build_defs(settings.model_copy(update=changed))
        return list(run_partitions(defs, instance, partitions, select))

    return runs


def find_materialized(instance, asset):
    return instance.get_materialized_partitions(dg.AssetKey(asset))


def test_a_run_publishes_every_table_of_its_partition(published):
    for name in (name for name, table in TABLES.items() if table.per_account):
        assert find_materialized(published.instance, name) == {"north|2026-03-10", "south|2026-03-10"}
    (row,) = lake.read("account_completion", accounts=["north"], data_dir=published.data.root).to_pylist()
    assert (row["n_all"], row["n_completed"]) == (3, 1)


def test_row_counts_and_rates_are_numbers(published):
    assert published.read_metadata("unified_enrollments")["dagster/partition_row_count"] == 3
    assert published.read_metadata("account_completion")["completion_rate"] == pytest.approx(1 / 3)


def test_served_is_the_sum_of_stored_rejected_and_duplicates(published):
    figures = published.read_metadata("unified_enrollments")
    parts = ("dagster/partition_row_count", "rejected", "duplicates")
    assert figures["served"] == 3 == sum(figures[name] for name in parts)


def test_metrics_computed_again_leave_out_the_roles_of_now(run, settings, tmp_path):
    def compute(**changed):
        (outcome,) = run(NORTH, select=["account_completion"], **changed)
        assert outcome.error is None
        (row,) = lake.read("account_completion", accounts=["north"], data_dir=settings.data_dir).to_pylist()
        return row["n_all"], row["left_out_by_role"]

    (tmp_path / "accounts.toml").write_text("[accounts.north]\nexcluded_roles = []\n", "utf-8")
    run(NORTH, select=["unified_enrollments"])
    assert compute() == (3, 0)
    assert compute(excluded_roles=("Learner",)) == (0, 3)
    assert compute(excluded_roles=("Learner",), accounts_file=tmp_path / "accounts.toml") == (3, 0)


def test_metrics_computed_again_apply_the_rules_of_now_and_leave_stored_rows(run, settings, tmp_path):
    rules = tmp_path / "rules.toml"
    run(NORTH, select=["unified_enrollments"])
    stored = {path: path.read_bytes() for path in settings.data_dir.glob("lake/unified_enrollments/**/*.parquet")}

    def compute(text):
        rules.write_text(text, "utf-8")
        (outcome,) = run(NORTH, select=["account_completion"], rules_file=rules)
        assert outcome.error is None
        (row,) = lake.read("account_completion", accounts=["north"], data_dir=settings.data_dir).to_pylist()
        return row["n_required"], row["n_required_by_rule"]

    assert compute("") == (None, None)
    assert compute('[[rules]]\naccount = "*"\ntitle = "*"\nmandatory = true\n') == (3, 3)
    assert {path: path.read_bytes() for path in stored} == stored


def test_rules_that_can_not_be_used_stop_the_metrics_and_not_the_pull(run, instance, tmp_path):
    (tmp_path / "rules.toml").write_text('[[rules]]\naccount = "north"\ndue = 1\n', "utf-8")
    (outcome,) = run(NORTH, select=["unified_enrollments", "account_completion"], rules_file=tmp_path / "rules.toml")
    assert outcome.error.startswith("LMS_RULES_FILE ")
    assert find_materialized(instance, "unified_enrollments") == {"north|2026-03-10"}
    assert find_materialized(instance, "account_completion") == set()


def test_a_failed_account_does_not_stop_the_next(run, instance, sandbox, registry):
    registry.add("nowhere", name=None, first_day=DAY)
    failed, published = run(Partition("nowhere", DAY), SOUTH, select=["unified_enrollments"])
    assert "Integrated account not found" in failed.error
    assert published.error is None
    assert find_materialized(instance, "unified_enrollments") == {"south|2026-03-10"}


def test_a_wrong_token_fails_with_one_sentence_without_the_token(run):
    (outcome,) = run(NORTH, select=["unified_enrollments"], token=SecretStr("wrong-token-of-mine"))
    assert outcome.error.startswith("Truto does not accept the token")
    assert outcome.error.endswith("check TRUTO_API_TOKEN.")
    assert "wrong-token-of-mine" not in outcome.error


def test_a_missing_token_fails_with_one_sentence(run):
    (outcome,) = run(NORTH, token=None)
    assert outcome.error == (
        "There is no API token: set TRUTO_API_TOKEN in the environment or in .env to a token of your Truto account."
    )


def test_the_error_for_a_closed_day_names_the_open_one(run):
    (outcome,) = run(Partition("north", DAY - timedelta(days=1)))
    assert re.match("2026-03-09 is closed .* the day that is open is 2026-03-10", outcome.error)


@pytest.mark.usefixtures("after_a_run")
def test_a_closed_day_keeps_its_snapshot_without_a_request(run, instance, sandbox):
    (outcome,) = run(NORTH, frozen_now=datetime(2026, 3, 13, 2, tzinfo=UTC), token=None)
    assert outcome.kept
    assert sandbox.stats()["total"] == 0
    event = instance.get_latest_materialization_event(dg.AssetKey("unified_enrollments"))
    assert event.asset_materialization.metadata["kept"].value is True


def test_a_list_is_pulled_without_requests_for_enrollments(run, instance, sandbox):
    assert [outcome.error for outcome in run(NORTH, select=["learners"])] == [None]
    requests = sandbox.stats()["requests"]["north"]
    assert list(requests) == ["GET /unified/lms/users"]
    assert find_materialized(instance, "learners") == {"north|2026-03-10"}


def test_one_table_of_enrollments_publishes_and_reports_its_siblings(run, instance):
    run(NORTH, select=["raw_enrollments"])
    assert find_materialized(instance, "unified_enrollments") == {"north|2026-03-10"}


def test_the_warehouse_reports_the_rows_of_each_table(published):
    event = published.instance.get_latest_materialization_event(dg.AssetKey("warehouse"))
    figures = event.asset_materialization.metadata
    assert (figures["rows_account_completion"].value, figures["rows_learner_completion"].value) == (2, 4)


def test_metrics_without_a_snapshot_say_what_to_do(run):
    (outcome,) = run(NORTH, select=["course_completion"])
    assert outcome.error == (
        "There is no snapshot of north on 2026-03-10: materialize unified_enrollments of that day first."
    )


def test_metrics_wait_for_the_pull_of_any_table_of_enrollments(run, instance):
    (outcome,) = run(NORTH, select=["raw_enrollments", "course_completion"])
    assert outcome.error is None
    assert find_materialized(instance, "course_completion") == {"north|2026-03-10"}


def test_a_run_is_tagged_with_the_name_of_its_account(run, instance, registry):
    registry.add("north", name="Northwind", first_day=DAY)
    run(NORTH, select=["learners"])
    (tagged,) = instance.get_runs()
    assert tagged.tags["account"] == "Northwind"


@pytest.mark.parametrize("job", ["daily_snapshot", "rebuild_warehouse"])
def test_every_run_warns_that_lms_now_is_set(published, job):
    runs = published.instance.get_runs(dg.RunsFilter(job_name=job))
    assert runs
    for logged in runs:
        assert logged.tags["LMS_NOW"] == "2026-03-11T02:00:00+00:00"
        messages = [entry.user_message for entry in published.instance.all_logs(logged.run_id)]
        assert "LMS_NOW is set: 2026-03-11T02:00:00+00:00 is used as the current time." in messages
