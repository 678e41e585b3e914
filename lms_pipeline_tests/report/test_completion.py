"""Which courses are shown, and how."""

from __future__ import annotations

from typing import Any

import pytest

from lms_pipeline.report.completion import Courses
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.lake_files import write
from lms_pipeline_tests.support.pictures import parsed, texts

SHOWN_AT_ONCE = 1_000
"""Characters of Markdown below which Dagster's page needs no click."""


def course(number: int, completed: int, eligible: int, **more: Any) -> dict[str, Any]:
    return {
        "course_id": f"c{number}",
        "course_title": f"Course {number}",
        "n_all": eligible + 1,
        "completion_rate_eligible": completed / eligible if eligible else None,
        "completion_rate_eligible_num": completed,
        "completion_rate_eligible_den": eligible,
        **more,
    }


@pytest.fixture
def courses(tmp_path):
    return lambda *rows: Courses(write(tmp_path / "data.parquet", COURSE_COMPLETION, *rows))


def chart(of: Courses) -> list[str]:
    return texts(parsed(of.chart("Completion by course")))


def test_the_largest_come_first(courses):
    shown = courses(course(1, 1, 2), course(2, 1_500, 2_000), course(3, 0, 20))
    assert chart(shown)[2:] == [
        "Course 2",
        "75% 1,500 of 2,000",
        "Course 3",
        "0% 0 of 20",
        "Course 1",
        "50% 1 of 2",
    ]


def test_equally_large_ones_stand_by_their_ids(courses):
    assert chart(courses(course(2, 1, 2), course(1, 1, 2)))[2::2] == ["Course 1", "Course 2"]


def test_those_that_find_no_room_are_counted(courses):
    shown = chart(courses(*(course(number, 1, 100 - number) for number in range(57))))
    assert shown[2:-1:2] == [f"Course {number}" for number in range(15)]
    assert shown[-1] == "and 42 smaller courses"


def test_none_is_said(courses):
    empty = courses()
    assert chart(empty)[-1] == "There is no course."
    assert empty.lines().count("\n") == 1
    assert empty.extremes() is None


def test_one_without_a_title_is_called_by_its_id(courses):
    assert chart(courses(course(1, 1, 2, course_title=None)))[2] == "c1"


def test_one_that_nobody_was_eligible_for_has_no_rate(courses):
    nobody = courses(course(1, 0, 0))
    assert chart(nobody)[2:] == ["Course 1", "- 0 of 0"]
    assert nobody.extremes() is None


def test_lines_of_text_have_bars_and_figures(courses):
    shown = courses(course(1, 3, 4), course(2, 0, 0, course_title="a|b"))
    assert shown.lines().splitlines()[2:] == [
        "| ████████░░ 75% | Course 1 | 3 of 4 |",
        r"| ░░░░░░░░░░ - | a\|b | 0 of 0 |",
    ]


def test_lines_of_text_are_few_enough_to_be_shown_at_once(courses):
    many = (course(number, 100_000, 999_999, course_title="W" * 99) for number in range(30))
    assert len(courses(*many).lines()) < SHOWN_AT_ONCE


def test_the_ends_of_the_scale_are_of_courses_that_are_not_tiny(courses):
    lowest, highest = courses(
        course(1, 0, 9), course(2, 3, 10), course(3, 5, 10), course(4, 9, 10), course(5, 1, 1)
    ).extremes()
    assert (lowest.course_id, lowest.rate) == ("c2", 0.3)
    assert (highest.course_id, highest.rate) == ("c4", 0.9)
