"""The metadata that asset pages show after a run, with a real instance."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.metadata import build_metric_metadata, build_published_metadata, build_pull_metadata
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot.job import PairCounts, RowCounts, SnapshotResult
from lms_pipeline.tables.attention import ATTENTION, REASONS
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import COURSE_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import COURSES, LEARNERS, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY, NOW, Installation
from lms_pipeline_tests.support.lake_files import NOON, publish

DOCS = Path(__file__).parents[2] / "docs" / "ui.md"
NORTH = Partition("north", DAY)
ACCOUNT_TABLES = [table for table in TABLES.values() if table.per_account]
MAX_METADATA_BYTES = 1_500
ROSTER = Choice("roster", "")


@pytest.fixture
def read_metadata(published):
    return published.read_metadata


def find_queries(settings, asset, path):
    """Return the queries in the description of an asset by their language, with the values of a partition."""
    asset_graph = build_defs(settings).get_repository_def().asset_graph
    text = asset_graph.get(dg.AssetKey(asset)).description or ""
    for name, value in {"ACCOUNT": "north", "DATE": str(DAY), "PATH": path}.items():
        text = text.replace(name, value)
    return dict(re.findall(r"```(\w+)\n(.*?)\n```", text, re.DOTALL))


def test_every_table_shows_its_account_rows_seconds_and_path(read_metadata, published):
    for table in ACCOUNT_TABLES:
        shown = read_metadata(table.name)
        path = published.data.file(table, NORTH)
        rows = pq.read_metadata(path).num_rows
        assert (shown["account"], shown["dagster/partition_row_count"]) == ("north", rows)
        assert (shown["path"], shown["file_bytes"]) == (str(path), path.stat().st_size)
        assert isinstance(shown["seconds"], float)
        assert (shown["complete"], shown["strategy"], shown["pulled_at"]) == (True, "sweep", NOW.timestamp())


def test_the_pull_shows_its_requests_and_where_the_enrollments_went(read_metadata, published):
    shown = read_metadata("unified_enrollments")
    assert shown["requests"] == published.requests
    assert shown["calls_saved"] == 0
    assert (shown["served"], shown["rejected"], shown["duplicates"]) == (3, 0, 0)
    assert (shown["read_leniently"], shown["unreadable_values"], shown["undocumented_statuses"]) == (0, 0, 0)


@pytest.mark.usefixtures("after_a_run")
def test_a_kept_day_shows_the_pull_that_its_rows_come_from(settings, instance):
    later = settings.model_copy(update={"frozen_now": datetime(2026, 3, 13, 2, tzinfo=UTC), "token": None})
    (outcome,) = run_partitions(build_defs(later), instance, [NORTH], ["unified_enrollments"])
    assert (outcome.error, outcome.kept) == (None, True)
    shown = Installation(later, instance, requests=0).read_metadata("unified_enrollments")
    assert (shown["kept"], shown["complete"], shown["strategy"]) == (True, True, "sweep")
    assert shown["pulled_at"] == NOW.timestamp()
    assert "requests" not in shown


def test_the_account_shows_its_counts_and_known_rates_as_numbers(read_metadata):
    shown = read_metadata("account_completion")
    assert (shown["n_all"], shown["n_completed"], shown["learners"]) == (3, 1, 3)
    assert shown["completion_rate"] == pytest.approx(1 / 3)
    assert "on_time_rate" not in shown


def test_the_portfolio_shows_its_accounts_and_rates(read_metadata, published):
    shown = read_metadata("portfolio_completion")
    assert (shown["accounts"], shown["accounts_missing"], shown["n_all"], shown["n_completed"]) == (2, 0, 4, 1)
    assert (shown["completion_rate"], shown["dagster/partition_row_count"]) == (0.25, 1)
    assert shown["path"] == str(published.data.file(PORTFOLIO_COMPLETION, DayPartition(DAY)))
    assert "account" not in shown


def test_attention_shows_how_many_have_each_reason(tmp_path):
    rows = [{"user_id": f"u{number}", "reason": reason} for number, reason in enumerate(("overdue", "idle", "overdue"))]
    shown = build_metric_metadata(publish(DataDir(tmp_path), "acme", DAY, *rows, table=ATTENTION))
    assert [shown[reason] for reason in REASONS] == [2, 0, 0, 1, 0]


def test_the_largest_courses_show_as_bars(read_metadata):
    shown = read_metadata("course_completion")
    assert shown["largest_courses"].splitlines()[2:] == ["| ███░░░░░░░ 33% | First aid | 1 of 3 |"]
    assert "lowest_rate" not in shown, "three enrollments are too few for an extreme"


def test_the_queries_return_the_rows_of_the_partition(read_metadata, published):
    for name in TABLES:
        shown = read_metadata(name)
        queries = find_queries(published.settings, name, shown["path"])
        assert len(duckdb.execute(queries["sql"]).fetchall()) == shown["dagster/partition_row_count"]
        if "sh" in queries:
            [query] = re.findall(r'^lms-pipeline query "([^"]*)"$', queries["sh"])
            with warehouse.open_warehouse(published.data) as connection:
                assert len(connection.sql(query)) == shown["dagster/partition_row_count"]


def test_no_metadata_names_a_learner(published):
    for name in (*TABLES, "warehouse"):
        event = published.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert not re.search(r"Learner \d|@example\.org", str(event.asset_materialization.metadata))


def test_every_metadata_key_is_explained_in_the_docs(read_metadata, tmp_path):
    result = SnapshotResult(
        choice=ROSTER,
        rows=RowCounts(oldest_fetch=NOON, undocumented_statuses=Counter(paused=1)),
        reading={"unified_enrollments": Counter(unreadable_score=1)},
    )
    unified = publish(DataDir(tmp_path), "acme", DAY)
    shown = {*build_pull_metadata(result, unified), *(name for table in TABLES for name in read_metadata(table))}
    explained = set(re.findall(r"`([^`]+)`", DOCS.read_text(encoding="utf-8")))
    assert shown - explained - {rate.name for rate in RATES} == set()


def measure(metadata):
    """Return the bytes of names and values as JSON."""
    values = {name: getattr(value, "value", value) for name, value in metadata.items()}
    return len(json.dumps(values, default=str).encode())


def test_the_metadata_of_each_table_are_small(read_metadata):
    sizes = {name: measure(read_metadata(name)) for name in TABLES}
    assert {name: size for name, size in sizes.items() if size > MAX_METADATA_BYTES} == {}


def test_the_metadata_of_a_pull_with_many_troubles_are_small(tmp_path):
    names = [column.name for column in UNIFIED_ENROLLMENTS.columns]
    result = SnapshotResult(
        choice=Choice("roster", "x" * 120),
        rows=RowCounts(
            served=10**7,
            carried=10**7,
            roster=10**7,
            rejected=10**7,
            oldest_fetch=NOON,
            undocumented_statuses=Counter({f"{number} {'y' * 99}": 10**7 for number in range(30)}),
        ),
        pairs=PairCounts(planned=Counter(new=10**7, changed=10**7, rotation=10**7, carried=10**7)),
        reading={
            "unified_enrollments": Counter({"read_leniently": 10**7, **{f"unreadable_{name}": 10**7 for name in names}})
        },
        requests=10**7,
        seconds=10**5 + 0.123,
    )
    data = DataDir(tmp_path)
    published = publish(data, "a" * 36, DAY)
    metadata = build_published_metadata(data, published, "n" * 60, build_pull_metadata(result, published), 1)
    other_folder = len(str(tmp_path)) - len("/var/lib/lms-pipeline")  # of this test, in the path
    assert measure(metadata) - other_folder <= MAX_METADATA_BYTES


def test_the_metadata_of_many_courses_are_small(tmp_path):
    rows = [
        {
            "course_id": f"{number} {'c' * 60}",
            "course_title": "Fire & safety! " * 9,
            "n_all": 10**7,
            "completion_rate_eligible": 1 / 3,
            "completion_rate_eligible_num": 10**6,
            "completion_rate_eligible_den": 3 * 10**6,
        }
        for number in range(40)
    ]
    data = DataDir(tmp_path)
    published = publish(data, "acme", DAY, *rows, table=COURSE_COMPLETION)
    metadata = build_published_metadata(data, published, "n" * 60, build_metric_metadata(published), 1)
    assert measure(metadata) <= MAX_METADATA_BYTES


class TestFigures:
    """Figures of results that a small sandbox does not produce."""

    @pytest.fixture
    def unified(self, tmp_path):
        return publish(DataDir(tmp_path), "acme", DAY)

    @pytest.fixture
    def publish_table(self, tmp_path):
        return lambda table: publish(DataDir(tmp_path), "acme", DAY, table=table)

    def test_of_a_sweep_have_none_of_pairs(self, unified):
        shown = build_pull_metadata(SnapshotResult(choice=Choice("sweep", ""), rows=RowCounts(served=2)), unified)
        assert [name for name in shown if name.startswith(("pairs", "rows", "carry"))] == []

    def test_of_pairs_have_the_planned_and_the_saved_requests(self, unified):
        planned = Counter(new=2, changed=3, rotation=10, carried=60)
        result = SnapshotResult(
            choice=ROSTER,
            rows=RowCounts(served=14, carried=60, roster=1, oldest_fetch=NOON),
            pairs=PairCounts(planned=planned, rotation_fetched=9, rotation_changed=1, not_enrolled=1),
        )
        shown = build_pull_metadata(result, unified)
        assert {name: shown[f"pairs_{name}"] for name in planned} == planned
        assert (shown["calls_saved"], shown["carry_asked"], shown["carry_differing"]) == (61, 9, 1)
        assert (shown["rows_carried"], shown["rows_roster"], shown["share_carried"]) == (60, 1, 0.8)
        assert shown["pairs_not_enrolled"] == 1
        assert shown["oldest_fetched_at"] == dg.MetadataValue.timestamp(NOON)

    def test_of_a_table_without_rows_have_a_share_of_zero(self, unified):
        assert build_pull_metadata(SnapshotResult(choice=ROSTER), unified)["share_carried"] == 0

    def test_of_undocumented_statuses_have_the_five_most_common(self, unified):
        served = Counter({f"status {number:02} {'x' * 99}": number for number in range(1, 30)})
        shown = build_pull_metadata(
            SnapshotResult(rows=RowCounts(undocumented_statuses=served | Counter({"": 50}))), unified
        )
        assert shown["undocumented_statuses"] == 29 * 30 // 2 + 50
        which = shown["which_statuses"].value
        assert list(which.values()) == [50, *range(29, 25, -1)]
        assert list(which)[:2] == ["(none)", f"status 29 {'x' * 14}"]

    def test_of_unreadable_values_name_the_fields(self, unified):
        reading = {"unified_enrollments": Counter(read_leniently=3, unreadable_score=2, unreadable_due_at=1)}
        shown = build_pull_metadata(SnapshotResult(reading=reading), unified)
        assert (shown["read_leniently"], shown["unreadable_values"]) == (3, 3)
        assert shown["which_fields"].value == {"score": 2, "due_at": 1}

    def test_of_sentinel_dates_are_their_number_if_there_are_any(self, unified):
        reading = {"unified_enrollments": Counter(read_leniently=3, sentinel_due_at=2, sentinel_completed_at=1)}
        shown = build_pull_metadata(SnapshotResult(reading=reading), unified)
        assert (shown["sentinel_dates"], shown["unreadable_values"]) == (3, 0)
        assert "sentinel_dates" not in build_pull_metadata(
            SnapshotResult(reading={"unified_enrollments": Counter()}), unified
        )

    def test_of_a_list_have_its_rejected_and_duplicates(self, publish_table):
        reading = {"courses": Counter(rejected=1, duplicates=2), "learners": Counter()}
        shown = build_pull_metadata(SnapshotResult(reading=reading), publish_table(COURSES))
        assert (shown["rejected"], shown["duplicates"], shown["read_leniently"]) == (1, 2, 0)
        assert build_pull_metadata(SnapshotResult(reading=reading), publish_table(LEARNERS))["rejected"] == 0

    def test_of_raw_enrollments_are_those_of_the_whole_pull(self, publish_table):
        shown = build_pull_metadata(SnapshotResult(requests=7, seconds=1.23456), publish_table(RAW_ENROLLMENTS))
        assert (shown["requests"], shown["seconds"]) == (7, 1.235)
        assert "served" not in shown

    def test_of_raw_records_that_are_missing_are_not_those_of_the_enrollments(self, publish_table, tmp_path):
        raw = publish_table(RAW_ENROLLMENTS)
        with Publication(DataDir(tmp_path), Partition("acme", DAY), "run-2") as publication:
            with publication.open(RAW_ENROLLMENTS) as file:
                file.close({"complete": "false", "incomplete_because": "no envelope"})
            publication.publish([(file, ())])
        result = SnapshotResult(complete=True, raw_gaps="no envelope")
        shown = build_pull_metadata(result, raw)
        assert (shown["complete"], shown["incomplete_because"]) == (False, "no envelope")
        shown = build_pull_metadata(SnapshotResult(kept=True), raw)
        assert (shown["complete"], shown["incomplete_because"]) == (False, "no envelope")
        shown = build_pull_metadata(result, publish_table(LEARNERS))
        assert (shown["complete"], "incomplete_because" in shown) == (True, False)
