"""What the pages of the assets show after a run, with a real instance."""

import base64
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.metadata import pull_figures
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.snapshot.job import PairCounts, RowCounts, SnapshotResult
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import RATES
from lms_pipeline.tables.pulled import COURSES, LEARNERS, RAW_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY, NOW, Installation
from lms_pipeline_tests.support.lake_files import NOON, publish
from lms_pipeline_tests.support.pictures import parsed, texts

DOCS = Path(__file__).parents[2] / "docs" / "ui.md"
NORTH = Partition("north", DAY)

ROSTER = Choice("roster", "")


@pytest.fixture
def page(published):
    return published.page


def queries(page):
    """The queries that are ready to be pasted, by the language they are in."""
    return dict(re.findall(r"```(\w+)\n(.*?)\n```", page["query"], re.DOTALL))


def test_every_table_tells_its_account_its_rows_its_seconds_and_where_it_is(page, published):
    rows = {
        "rejected_enrollments": 0,
        "learners": 3,
        "courses": 1,
        "course_completion": 1,
        "account_completion": 1,
    }
    for name, table in TABLES.items():
        told = page(name)
        assert (told["account"], told["dagster/partition_row_count"]) == ("north", rows.get(name, 3))
        path = published.data.file(table, NORTH)
        assert (told["path"], told["dagster/uri"]) == (str(path), f"file://{path}")
        assert told["file_bytes"] == path.stat().st_size
        assert isinstance(told["seconds"], float)
        assert (told["complete"], told["strategy"], told["pulled_at"]) == (True, "sweep", NOW.timestamp())


def test_the_pull_tells_its_requests_and_what_became_of_the_enrollments(page, published):
    told = page("unified_enrollments")
    assert told["requests"] == published.requests
    assert told["calls_saved"] == 0
    assert (told["served"], told["rejected"], told["duplicates"]) == (3, 0, 0)
    assert (told["read_leniently"], told["unreadable_values"], told["undocumented_statuses"]) == (0, 0, 0)


@pytest.mark.usefixtures("after_a_run")
def test_a_kept_day_tells_of_the_pull_that_its_rows_come_from(settings, instance):
    later = settings.model_copy(update={"frozen_now": datetime(2026, 3, 13, 2, tzinfo=UTC), "token": None})
    (outcome,) = run_partitions(build_defs(later), instance, [NORTH], ["unified_enrollments"])
    assert (outcome.error, outcome.kept) == (None, True)
    told = Installation(later, instance, requests=0).page("unified_enrollments")
    assert (told["kept"], told["complete"], told["strategy"]) == (True, True, "sweep")
    assert told["pulled_at"] == NOW.timestamp()
    assert "requests" not in told
    assert queries(told)


def test_the_account_shows_its_rates_as_numbers_and_with_what_was_divided(page):
    told = page("account_completion")
    assert (told["n_all"], told["n_completed"], told["learners"]) == (3, 1, 3)
    assert told["completion_rate"] == pytest.approx(1 / 3)
    assert "on_time_rate" not in told
    lines = told["rates"].splitlines()
    assert lines[2] == "| completion rate | 33.3% | 1 | 3 |"
    assert "| on time rate | - | - | - |" in lines


def test_the_courses_show_as_text_and_as_a_picture(page):
    told = page("course_completion")
    assert told["largest_courses"].splitlines()[2:] == ["| ███░░░░░░░ 33% | First aid | 1 of 3 |"]
    [encoded] = re.findall(r"^!\[.*\]\(data:image/svg\+xml;base64,(.*)\)$", told["completion_by_course"])
    assert texts(parsed(base64.b64decode(encoded).decode())) == [
        "Completion by course, 2026-03-10",
        "completed of eligible enrollments, largest courses first",
        "First aid",
        "33% 1 of 3",
    ]
    assert "lowest_rate" not in told, "three enrollments are too few to be the worst"


def test_the_queries_bring_the_rows_of_the_partition(page, published):
    for name in TABLES:
        told = page(name)
        ready = queries(told)
        assert len(duckdb.execute(ready["sql"]).fetchall()) == told["dagster/partition_row_count"]
        if "sh" in ready:
            [asked] = re.findall(r'^lms-pipeline query "([^"]*)"$', ready["sh"])
            with warehouse.reading(published.data) as connection:
                assert len(connection.sql(asked)) == told["dagster/partition_row_count"]


def test_no_page_names_a_learner(published):
    for name in (*TABLES, "warehouse"):
        event = published.instance.get_latest_materialization_event(dg.AssetKey(name))
        told = str(event.asset_materialization.metadata)
        pictures = [base64.b64decode(one).decode() for one in re.findall(r"base64,([^)]*)", told)]
        assert not re.search(r"Learner \d|@example\.org", told + "".join(pictures))


def test_everything_that_a_page_shows_is_explained(page, tmp_path):
    report = SnapshotResult(
        choice=ROSTER,
        rows=RowCounts(oldest_fetch=NOON, undocumented_statuses=Counter(paused=1)),
        reading={"unified_enrollments": Counter(unreadable_score=1)},
    )
    unified = publish(DataDir(tmp_path), "acme", DAY)
    shown = {*pull_figures(report, unified), *(name for table in TABLES for name in page(table))}
    explained = set(re.findall(r"`([^`]+)`", DOCS.read_text(encoding="utf-8")))
    assert shown - explained - {rate.name for rate in RATES} == set()


class TestFigures:
    """Of reports that a small sandbox doesn't bring about."""

    @pytest.fixture
    def unified(self, tmp_path):
        return publish(DataDir(tmp_path), "acme", DAY)

    @pytest.fixture
    def of_list(self, tmp_path):
        return lambda table: publish(DataDir(tmp_path), "acme", DAY, table=table)

    def test_of_a_sweep_say_nothing_of_pairs(self, unified):
        told = pull_figures(SnapshotResult(choice=Choice("sweep", ""), rows=RowCounts(served=2)), unified)
        assert [name for name in told if name.startswith(("pairs", "rows", "carry"))] == []

    def test_of_pairs_say_what_was_planned_and_what_was_saved(self, unified):
        planned = Counter(new=2, changed=3, rotation=10, carried=60)
        report = SnapshotResult(
            choice=ROSTER,
            rows=RowCounts(served=14, carried=60, roster=1, oldest_fetch=NOON),
            pairs=PairCounts(planned=planned, rotation_fetched=9, rotation_changed=1, not_enrolled=1),
        )
        told = pull_figures(report, unified)
        assert {name: told[f"pairs_{name}"] for name in planned} == planned
        assert (told["calls_saved"], told["carry_asked"], told["carry_differing"]) == (61, 9, 1)
        assert (told["rows_carried"], told["rows_roster"], told["share_carried"]) == (60, 1, 0.8)
        assert told["pairs_not_enrolled"] == 1
        assert told["oldest_fetched_at"] == dg.MetadataValue.timestamp(NOON)

    def test_of_no_rows_at_all_have_a_share_all_the_same(self, unified):
        assert pull_figures(SnapshotResult(choice=ROSTER), unified)["share_carried"] == 0

    def test_of_undocumented_statuses_are_the_ten_that_come_most_often(self, unified):
        served = Counter({f"status {number:02} {'x' * 99}": number for number in range(1, 30)})
        told = pull_figures(
            SnapshotResult(rows=RowCounts(undocumented_statuses=served | Counter({"": 50}))), unified
        )
        assert told["undocumented_statuses"] == 29 * 30 // 2 + 50
        which = told["which_statuses"].value
        assert list(which.values()) == [50, *range(29, 20, -1)]
        assert list(which)[:2] == ["(none)", f"status 29 {'x' * 30}"]

    def test_of_unreadable_values_name_the_fields(self, unified):
        reading = {"unified_enrollments": Counter(read_leniently=3, unreadable_score=2, unreadable_due_at=1)}
        told = pull_figures(SnapshotResult(reading=reading), unified)
        assert (told["read_leniently"], told["unreadable_values"]) == (3, 3)
        assert told["which_fields"].value == {"score": 2, "due_at": 1}

    def test_of_a_list_say_what_was_not_taken(self, of_list):
        reading = {"courses": Counter(rejected=1, duplicates=2), "learners": Counter()}
        told = pull_figures(SnapshotResult(reading=reading), of_list(COURSES))
        assert (told["rejected"], told["duplicates"], told["read_leniently"]) == (1, 2, 0)
        assert pull_figures(SnapshotResult(reading=reading), of_list(LEARNERS))["rejected"] == 0

    def test_of_raw_are_those_of_the_whole_pull(self, of_list):
        told = pull_figures(SnapshotResult(requests=7, seconds=1.23456), of_list(RAW_ENROLLMENTS))
        assert (told["requests"], told["seconds"]) == (7, 1.235)
        assert "served" not in told
