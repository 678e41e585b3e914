"""The asset of the report, the sensor that requests it, and small groups in the metadata of the metric tables."""

import json
from threading import Event

import dagster as dg
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from lms_pipeline.accounts.rules import RULES_ENTRY
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log_sync import find_missing_events, report_events, sync_missing_events
from lms_pipeline.defs.instance import QUIET_CONFIG, compute_portfolio, rebuild_warehouse
from lms_pipeline.defs.shown_metadata import build_shown_metadata
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.publishing import Published
from lms_pipeline.settings import Settings
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline_tests.defs.test_alerts import webhook
from lms_pipeline_tests.defs.test_automation import sense
from lms_pipeline_tests.support.lake_files import PROVENANCE, write
from lms_pipeline_tests.support.report_lake import (
    DAY,
    NOW,
    Enrolled,
    count,
    publish_day,
    publish_portfolio_row,
    register,
)

__all__ = ["webhook"]

LIMIT = 3
FIGURES = {*PORTFOLIO_COMPLETION.column_names}
"""Metadata of the portfolio without a limit."""


@pytest.fixture
def lake(tmp_path):
    data = DataDir(tmp_path / "data")
    register(data, {"acme": "Acme"})
    publish_day(
        data,
        "acme",
        DAY,
        [*(Enrolled(f"u{number}", "large", is_due=True) for number in range(5)), Enrolled("u0", "small", "completed")],
        {"large": "Large course", "small": "Small course"},
    )
    return data


def write_report(lake, instance, **more):
    settings = Settings(data_dir=lake.root, frozen_now=NOW, **more)
    result = (
        build_defs(settings)
        .resolve_job_def("write_report")
        .execute_in_process(instance=instance, run_config=QUIET_CONFIG)
    )
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_asset_writes_the_report_of_the_latest_day(lake, new_instance):
    shown = write_report(lake, new_instance)
    assert shown["day"] == DAY.isoformat()
    assert shown["path"] == str(lake.report_path(DAY))
    assert lake.report_path(DAY).exists()


def test_the_asset_says_how_much_it_leaves_out(lake, new_instance):
    shown = write_report(lake, new_instance, min_cohort=LIMIT)
    assert (shown["accounts"], shown["accounts_left_out"], shown["courses_left_out"]) == (1, 0, 1)


class TestAttention:
    TEXT = "All accounts, 2026-03-31: 5 open enrollments need attention: 5 overdue."

    def send(self, lake, instance, webhook, **more):
        requested = {"attention_alert": True, "alert_webhook": SecretStr(webhook.address), **more}
        return write_report(lake, instance, **requested)["attention_sent"]

    def test_is_sent_once_a_day(self, lake, new_instance, webhook):
        instance = new_instance
        assert [self.send(lake, instance, webhook) for _ in range(2)] == [True, False]
        assert webhook.texts == [self.TEXT]

    def test_is_sent_again_on_a_later_day_only(self, lake, new_instance, webhook):
        lake.sent_alerts.parent.mkdir(exist_ok=True)
        lake.sent_alerts.write_text(json.dumps({"attention": "2026-04-01"}))
        assert not self.send(lake, new_instance, webhook)
        lake.sent_alerts.write_text(json.dumps({"attention": "2026-03-30"}))
        assert self.send(lake, new_instance, webhook)

    def test_is_not_sent_by_default(self, lake, new_instance, webhook):
        assert not self.send(lake, new_instance, webhook, attention_alert=False)
        assert webhook.texts == []

    def test_withholds_small_groups(self, lake, new_instance, webhook):
        assert self.send(lake, new_instance, webhook, min_cohort=LIMIT)
        assert webhook.texts == [
            "All accounts, 2026-03-31: Open enrollments by their strongest reason, rounded: 6 overdue."
        ]

    def test_is_not_sent_if_all_groups_are_small(self, lake, new_instance, webhook):
        assert not self.send(lake, new_instance, webhook, min_cohort=6)
        assert webhook.texts == []


def test_the_sensor_requests_a_report_once_after_a_build(lake, new_instance):
    instance = new_instance
    repository = build_defs(Settings(data_dir=lake.root, frozen_now=NOW)).get_repository_def()
    assert sense(repository, instance, "report_refresh").run_requests == []
    instance.report_runless_asset_event(dg.AssetMaterialization("warehouse"))
    first = sense(repository, instance, "report_refresh")
    assert len(first.run_requests) == 1
    assert sense(repository, instance, "report_refresh", first.cursor).run_requests == []


def read_shown(instance, table):
    """Return the names of the metadata of the latest materialization."""
    return set(instance.get_latest_materialization_event(dg.AssetKey(table.name)).asset_materialization.metadata)


class TestMetadata:
    def build(self, lake, table, limit):
        partition = Partition("acme", DAY)
        return build_shown_metadata(lake, Published(table, partition, lake.file(table, partition), 1), limit)

    def test_of_an_account_is_the_sum_of_its_shown_courses(self, lake):
        shown = self.build(lake, ACCOUNT_COMPLETION, LIMIT)
        assert (shown["n_all"], shown["n_completed"], shown["courses_left_out"]) == (5, 0, 1)
        assert "learners" not in shown

    def test_of_a_small_account_has_no_figures(self, lake):
        assert set(self.build(lake, ACCOUNT_COMPLETION, 6)) == {"complete", "strategy", "pulled_at"}

    def test_that_is_reported_from_the_lake_withholds_the_same(self, lake, new_instance):
        missing = [event for event in find_missing_events(new_instance, lake) if event.table == ACCOUNT_COMPLETION]
        report_events(new_instance, lake, missing, min_cohort=LIMIT)
        event = new_instance.get_latest_materialization_event(dg.AssetKey("account_completion"))
        shown = event.asset_materialization.metadata
        assert shown["n_all"].value == 5

    def test_of_the_portfolio_that_a_refresh_logs_has_no_figures(self, lake, new_instance):
        defs = build_defs(Settings(data_dir=lake.root, frozen_now=NOW, min_cohort=LIMIT))
        assert rebuild_warehouse(defs, new_instance).error is None
        assert read_shown(new_instance, PORTFOLIO_COMPLETION).isdisjoint(FIGURES)

    def test_of_the_portfolio_that_its_asset_computes_has_no_figures(self, lake, new_instance):
        defs = build_defs(Settings(data_dir=lake.root, frozen_now=NOW, min_cohort=LIMIT))
        [outcome] = compute_portfolio(defs, new_instance, [DAY])
        assert outcome.error is None
        assert read_shown(new_instance, PORTFOLIO_COMPLETION).isdisjoint(FIGURES)

    def test_of_the_portfolio_that_is_reported_from_the_lake_has_no_figures(self, lake, new_instance):
        publish_portfolio_row(lake, DAY, count([Enrolled("u1", "large")]), accounts=1, missing=0)
        sync_missing_events(new_instance, lake, Event(), lambda _: None, min_cohort=LIMIT)
        assert read_shown(new_instance, PORTFOLIO_COMPLETION).isdisjoint(FIGURES)

    def test_of_tables_of_learners_has_no_number_of_rows(self, lake, new_instance):
        partition = Partition("acme", DAY)
        write(lake.file(LEARNER_COMPLETION, partition), LEARNER_COMPLETION, {"user_id": "u1"}, metadata=PROVENANCE)
        tables = (LEARNER_COMPLETION, ATTENTION, COURSE_COMPLETION)
        missing = [event for event in find_missing_events(new_instance, lake) if event.table in tables]
        report_events(new_instance, lake, missing, min_cohort=LIMIT)
        have_rows = ["dagster/partition_row_count" in read_shown(new_instance, table) for table in tables]
        assert have_rows == [False, False, True]

    def test_of_the_warehouse_has_no_number_of_rows_of_tables_of_learners(self, lake, new_instance):
        defs = build_defs(Settings(data_dir=lake.root, frozen_now=NOW, min_cohort=LIMIT))
        assert rebuild_warehouse(defs, new_instance).error is None
        event = new_instance.get_latest_materialization_event(dg.AssetKey("warehouse"))
        counted = {name for name in event.asset_materialization.metadata if name.startswith("rows_")}
        assert {"rows_course_completion", "rows_account_completion"} <= counted
        assert counted.isdisjoint({"rows_learner_completion", "rows_attention"})

    def test_of_courses_leaves_small_ones_out(self, lake):
        shown = self.build(lake, COURSE_COMPLETION, LIMIT)
        text = shown["largest_courses"].md_str
        assert "Large course" in text
        assert "Small course" not in text
        assert text.endswith("1 course with too few learners left out")
        assert not any(name.startswith(("lowest", "highest")) for name in shown)

    def test_of_the_portfolio_has_no_figures(self, lake):
        partition = DayPartition(DAY)
        publish_portfolio_row(lake, DAY, count([Enrolled("u1", "large")]), accounts=1, missing=0)
        published = Published(PORTFOLIO_COMPLETION, partition, lake.file(PORTFOLIO_COMPLETION, partition), 1)
        shown = build_shown_metadata(lake, published, LIMIT)
        assert not {"n_all", "learners", "completion_rate"} & set(shown)
        assert build_shown_metadata(lake, published, 1)["n_all"] == 1

    def test_of_attention_has_no_counts(self, lake):
        assert set(self.build(lake, ATTENTION, LIMIT)) == {"complete", "strategy", "pulled_at"}

    def test_without_a_limit_is_everything(self, lake):
        shown = self.build(lake, ACCOUNT_COMPLETION, 1)
        assert (shown["n_all"], shown["learners"]) == (6, 5)

    @pytest.mark.parametrize("entry", ["source_digest", RULES_ENTRY])
    def test_of_an_account_whose_courses_were_computed_from_something_else_has_no_figures(self, lake, entry):
        path = lake.file(COURSE_COMPLETION, Partition("acme", DAY))
        rows = pq.read_table(path, partitioning=None).to_pylist()
        write(path, COURSE_COMPLETION, *rows, metadata={**PROVENANCE, entry: "other"})
        assert set(self.build(lake, ACCOUNT_COMPLETION, LIMIT)) == {"complete", "strategy", "pulled_at"}

    def test_of_an_account_without_courses_has_no_figures(self, lake):
        lake.file(COURSE_COMPLETION, Partition("acme", DAY)).unlink()
        assert set(self.build(lake, ACCOUNT_COMPLETION, LIMIT)) == {"complete", "strategy", "pulled_at"}
