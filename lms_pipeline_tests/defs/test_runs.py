"""Materializing through Dagster, with a real instance."""

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


def materialized(instance, asset):
    return instance.get_materialized_partitions(dg.AssetKey(asset))


def test_a_run_publishes_every_table_of_its_partition(published):
    for table in TABLES:
        assert materialized(published.instance, table) == {"north|2026-03-10", "south|2026-03-10"}
    (row,) = lake.read("account_completion", accounts=["north"], data_dir=published.data.root).to_pylist()
    assert (row["n_all"], row["n_completed"]) == (3, 1)


def test_row_counts_and_rates_are_numbers_that_the_ui_plots(published):
    assert published.page("unified_enrollments")["dagster/partition_row_count"] == 3
    assert published.page("account_completion")["completion_rate"] == pytest.approx(1 / 3)


def test_served_is_told_as_the_sum_of_what_was_stored_rejected_and_repeated(published):
    told = published.page("unified_enrollments")
    assert told["served"] == 3 == told["dagster/partition_row_count"] + told["rejected"] + told["duplicates"]


def test_a_failed_account_does_not_stop_the_next(run, instance, sandbox, registry):
    registry.add("nowhere", name=None, first_day=DAY)
    failed, published = run(Partition("nowhere", DAY), SOUTH)
    assert "Integrated account not found" in failed.error
    assert published.error is None
    assert materialized(instance, "unified_enrollments") == {"south|2026-03-10"}


def test_a_wrong_token_is_one_sentence_without_the_token(run):
    (outcome,) = run(NORTH, token=SecretStr("wrong-token-of-mine"))
    assert outcome.error.startswith("Truto does not accept the token")
    assert outcome.error.endswith("check TRUTO_API_TOKEN.")
    assert "wrong-token-of-mine" not in outcome.error


def test_no_token_is_one_sentence(run):
    (outcome,) = run(NORTH, token=None)
    assert outcome.error == (
        "There is no API token: set TRUTO_API_TOKEN in the environment or in .env to a token of your Truto account."
    )


def test_a_day_that_is_over_names_the_one_that_is_open(run):
    (outcome,) = run(Partition("north", DAY - timedelta(days=1)))
    assert re.match("2026-03-09 is over .* the day that is open is 2026-03-10", outcome.error)


@pytest.mark.usefixtures("after_a_run")
def test_a_day_that_is_over_keeps_its_snapshot_without_a_call(run, instance, sandbox):
    (outcome,) = run(NORTH, frozen_now=datetime(2026, 3, 13, 2, tzinfo=UTC), token=None)
    assert outcome.kept
    assert sandbox.stats()["total"] == 0
    event = instance.get_latest_materialization_event(dg.AssetKey("unified_enrollments"))
    assert event.asset_materialization.metadata["kept"].value is True


def test_the_lists_alone_can_be_had_without_asking_for_enrollments(run, instance, sandbox):
    assert [outcome.error for outcome in run(NORTH, select=["learners"])] == [None]
    asked = sandbox.stats()["requests"]["north"]
    assert list(asked) == ["GET /unified/lms/users"]
    assert materialized(instance, "learners") == {"north|2026-03-10"}


def test_one_table_of_enrollments_brings_its_siblings_which_are_told_too(run, instance):
    run(NORTH, select=["raw_enrollments"])
    assert materialized(instance, "unified_enrollments") == {"north|2026-03-10"}


def test_the_warehouse_is_built_from_what_is_there(published):
    event = published.instance.get_latest_materialization_event(dg.AssetKey("warehouse"))
    told = event.asset_materialization.metadata
    assert (told["rows_account_completion"].value, told["rows_learner_completion"].value) == (2, 4)


def test_metrics_of_a_day_that_was_never_pulled_say_what_to_do(run):
    (outcome,) = run(NORTH, select=["course_completion"])
    assert outcome.error == (
        "There is no snapshot of north on 2026-03-10: materialize unified_enrollments of that day first."
    )


def test_metrics_do_not_run_beside_a_pull_that_they_can_not_wait_for(run):
    (outcome,) = run(NORTH, select=["raw_enrollments", "course_completion"])
    assert "select unified_enrollments too" in outcome.error


def test_a_run_is_tagged_with_what_people_call_its_account(run, instance, registry):
    registry.add("north", name="Northwind", first_day=DAY)
    run(NORTH, select=["learners"])
    (told,) = instance.get_runs()
    assert told.tags["account"] == "Northwind"


def test_every_pull_says_that_lms_now_is_set(published):
    for told in published.instance.get_runs(dg.RunsFilter(job_name="daily_snapshot")):
        assert told.tags["LMS_NOW"] == "2026-03-11T02:00:00+00:00"
        messages = [entry.user_message for entry in published.instance.all_logs(told.run_id)]
        assert "LMS_NOW is set: 2026-03-11T02:00:00+00:00 is taken for the present." in messages
