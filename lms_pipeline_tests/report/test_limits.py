"""Lists that are cut: how many rows stay, and what the page says about the others."""

from datetime import timedelta

import pytest

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.report import details
from lms_pipeline.report.content import build_content
from lms_pipeline.report.largest_courses import CourseCollector
from lms_pipeline.report.page import build_sections
from lms_pipeline.report.reading import bound_days, read_trend
from lms_pipeline.report.sections import mandatory, quality
from lms_pipeline.report.small_groups import select_account
from lms_pipeline.report.views import limit_rows
from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.report_lake import (
    DAY,
    NOW,
    Enrolled,
    count,
    count_courses,
    lack_raw_records,
    publish_day,
    register,
)


@pytest.mark.parametrize(
    ("rows", "total", "are_largest", "shown", "note"),
    [
        (5, None, False, 3, "The first 3 of 5."),
        (5, None, True, 3, "The 3 largest of 5."),
        (3, 1234, False, 3, "The first 3 of 1,234."),
        (3, None, False, 3, ""),
        (2, 2, True, 2, ""),
        (0, None, False, 0, ""),
    ],
)
def test_a_cut_list_says_how_many_rows_there_are(rows, total, are_largest, shown, note):
    assert limit_rows(range(rows), 3, total, are_largest=are_largest) == (range(shown), note)


def build(tmp_path, accounts):
    """Build the content of accounts, each a list of enrollments by id."""
    data = DataDir(tmp_path)
    register(data, {account_id: account_id.title() for account_id in accounts})
    for account_id, enrollments in accounts.items():
        publish_day(data, account_id, DAY, enrollments)
    return build_content(Settings(data_dir=tmp_path, frozen_now=NOW), with_names=True)


def find_table(content, name):
    return next(
        figure.table for section in build_sections(content) for figure in section.exhibits if figure.table.id == name
    )


def test_names_of_all_accounts_have_one_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(details, "MAX_NAMES", 4)
    overdue = [Enrolled(f"u{number}", "c", is_due=True) for number in range(3)]
    table = find_table(build(tmp_path, {"acme": overdue, "beta": overdue}), "table-attention-names")
    assert (len(table.rows), table.note) == (4, "The first 4 of 6.")


def test_courses_that_need_attention_say_how_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(details, "MAX_ATTENTION_COURSES", 1)
    overdue = [Enrolled("u1", "a", is_due=True), *(Enrolled(f"u{n}", "b", is_due=True) for n in range(2))]
    table = find_table(build(tmp_path, {"acme": overdue}), "table-attention-courses")
    assert [[cell.text for cell in row] for row in table.rows] == [["Course b", "2", "2"]]
    assert table.note == "The first 1 of 2."


def test_mandatory_courses_are_the_largest(tmp_path, monkeypatch):
    monkeypatch.setattr(mandatory, "MAX_ROWS", 1)
    required = [Enrolled("u1", "a", is_required=True), *(Enrolled(f"u{n}", "b", is_required=True) for n in range(2))]
    table = find_table(build(tmp_path, {"acme": required}), "table-mandatory-courses")
    assert ([row[0].text for row in table.rows], table.note) == (["Course b"], "The 1 largest of 2.")


def test_accounts_that_lack_raw_records_are_the_largest(tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "MAX_REASONS", 1)
    accounts = {"acme": [Enrolled("u1", "c")], "beta": [Enrolled("u1", "c"), Enrolled("u2", "c")]}
    for account_id in accounts:
        lack_raw_records(DataDir(tmp_path), account_id, "Truto refused them.")
    notes = quality.build_quality(build(tmp_path, accounts)).notes
    assert notes[:2] == [
        "Beta lacks raw records: without a role an instructor counts as a learner. Truto refused them.",
        "Accounts that lack raw records: The 1 largest of 2.",
    ]


class TestLargestCourses:
    def collect(self, max_courses, **sizes):
        collector = CourseCollector(max_courses)
        for account_id, courses in sizes.items():
            enrollments = [
                Enrolled(f"u{number}", course, "completed" if number == 0 else "enrolled")
                for course, size in courses.items()
                for number in range(size)
            ]
            selected = select_account(account_id, count(enrollments), count_courses(enrollments), 1)
            assert selected is not None
            collector.add(selected.shown)
        return collector.build()

    def test_are_kept_over_all_accounts(self):
        kept = self.collect(3, acme={"a": 1, "b": 5}, beta={"a": 4, "b": 2})
        assert [(one.account_id, one.course.course_id) for one in kept.largest] == [
            ("acme", "b"), ("beta", "a"), ("beta", "b")
        ]  # fmt: skip
        assert (kept.count, kept.mandatory_count) == (4, 0)

    def test_of_equal_size_are_the_first(self):
        kept = self.collect(2, acme={"a": 1, "b": 1, "c": 1})
        assert [one.course.course_id for one in kept.largest] == ["a", "b"]

    def test_have_the_range_of_all_courses(self):
        kept = self.collect(1, acme={"a": 1, "b": 5, "c": 2})
        assert kept.rates == (0.2, 1.0, 2, 3)

    def test_of_no_account_are_none(self):
        assert (self.collect(1).count, self.collect(1).rates) == (0, None)


@pytest.mark.parametrize(("accounts", "days"), [(1, 92), (40, 75), (1_000, 3), (3_000, 3)])
def test_the_days_of_the_trend_are_bounded_by_the_files_that_are_read(accounts, days):
    assert bound_days(accounts) == days


def test_a_trend_above_the_bound_keeps_the_days_that_are_compared(company, monkeypatch):
    monkeypatch.setattr("lms_pipeline.report.reading.MAX_TREND_PARTITIONS", 3)
    settings = company(60)
    last = build_content(settings).points[-1]
    points = read_trend(DataDir(settings.data_dir), last, None, 60)
    assert [(DAY - point.day) for point in points] == [timedelta(days=back) for back in (28, 7, 0)]
