"""From enrollments to the content of the report, over tables that the metrics publish. All figures are worked by hand."""

import shutil
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.days import Calendar
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.metrics.portfolio import publish_portfolio
from lms_pipeline.report.content import build_content
from lms_pipeline.report.page import build_sections
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline_tests.support.lake_files import enrollment, publish
from lms_pipeline_tests.support.report_lake import register

DAY = date(2026, 3, 31)
BEGUN, DUE, DONE = (datetime(2026, month, 10, 12, tzinfo=UTC) for month in (1, 3, 2))
DONE_ROW = {"status": "completed", "enrolled_at": BEGUN, "started_at": BEGUN, "completed_at": DONE}
OPEN_ROW = {"status": "in_progress", "enrolled_at": BEGUN, "started_at": BEGUN, "due_at": DUE}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Acme: u1 to u3 in c1, of whom u1 completed, the others are overdue; u1 in c2, completed. Beta: v1 in c1, completed."""
    data = DataDir(tmp_path_factory.mktemp("published"))
    register(data, {"acme": "Acme", "beta": "Beta", "late": "Late"})
    rows = {
        "acme": [
            enrollment("u1", "c1", course_title="Fire", due_at=DUE, **DONE_ROW),
            enrollment("u2", "c1", course_title="Fire", user_name="Ann", **OPEN_ROW),
            enrollment("u3", "c1", course_title="Fire", user_name="Bob", **OPEN_ROW),
            enrollment("u1", "c2", course_title="Welding", **DONE_ROW),
        ],
        "beta": [enrollment("v1", "c1", course_title="Fire", **DONE_ROW)],
    }
    for account_id, enrollments in rows.items():
        publish(data, account_id, DAY, *enrollments)
        partition = Partition(account_id, DAY)
        list(
            publish_metrics(
                data, METRIC_TABLES, partition, Calendar(ZoneInfo("UTC")), integration="records", run_id="run-2"
            )
        )
    publish_portfolio(data, DAY, Registry(data).read_accounts(), run_id="run-3", origin="")
    return data.root


@pytest.fixture
def settings(published, tmp_path):
    """The settings of a copy, which a test may change."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return Settings(data_dir=tmp_path, frozen_now=datetime(2026, 4, 1, 6, tzinfo=UTC))


def find_rows(content, name):
    tables = [figure.table for section in build_sections(content) for figure in section.exhibits]
    (table,) = [table for table in tables if table.id == name]
    return [[cell.text for cell in row] for row in table.rows]


def test_the_figures_are_those_of_the_enrollments(settings):
    content = build_content(settings)
    assert content.figures is not None
    assert (content.figures.enrollments, content.figures.completed, content.figures.learners) == (5, 3, 4)
    assert content.figures.rates["completion_rate"] == (0.6, 3, 5)
    assert content.figures.rates["on_time_rate"] == (1 / 3, 1, 3)
    assert content.accounts_missing == ["Late"]
    assert [account.name for account in content.accounts] == ["Acme", "Beta"]


def test_the_courses_are_those_of_all_accounts(settings):
    rows = find_rows(build_content(settings), "table-courses")
    assert sorted(row[:5] for row in rows) == [
        ["Fire", "Acme", "3", "3", "1"],
        ["Fire", "Beta", "1", "1", "1"],
        ["Welding", "Acme", "1", "1", "1"],
    ]


def test_a_cohort_is_added_up_over_accounts(settings):
    """5 enrollments of January: none completed in January, 3 by the end of February and of March."""
    (row,) = find_rows(build_content(settings), "table-cohorts")
    assert row == ["Jan 2026", "5", "0%", "60.0%", "60.0%"]


def test_those_who_need_attention_are_named_on_request(settings):
    content = build_content(settings, with_names=True)
    rows = find_rows(content, "table-attention-names")
    assert [[row[0], row[1], row[2], row[3], row[4]] for row in rows] == [
        ["Ann", "u2", "Fire", "Acme", "Overdue"],
        ["Bob", "u3", "Fire", "Acme", "Overdue"],
    ]
    assert find_rows(content, "table-attention-courses") == [["Fire", "Acme", "2", "2"]]


def test_the_parts_of_what_was_due_add_up(settings):
    rows = [row for row in find_rows(build_content(settings), "table-due") if row[1] != "0"]
    assert rows == [
        ["Completed on time", "1", "33.3%"],
        ["Still open", "2", "66.7%"],
        ["All whose due day has come", "3", "100%"],
    ]


def test_with_a_limit_only_the_course_with_enough_learners_counts(settings):
    content = build_content(settings.model_copy(update={"min_cohort": 3}))
    assert content.figures is not None
    assert content.figures.rates["completion_rate"] == (1 / 3, 1, 3)
    assert (content.accounts_left_out, content.courses_left_out, content.courses.count) == (1, 1, 1)
