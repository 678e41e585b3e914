"""Which courses are shown, and how; and titles from an LMS, made safe."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.report.completion import Courses, escape_markdown, format_bar, shorten
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.lake_files import write

MAX_SHOWN_AT_ONCE = 1_000
"""Characters of Markdown that Dagster's page shows without a click."""


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


def read_rows(courses: Courses) -> list[list[str]]:
    """Return the cells of each row of the table."""
    rows = [line for line in courses.format_largest().splitlines()[2:] if line.startswith("|")]
    return [row.strip("| ").split(" | ") for row in rows]


def read_titles(courses: Courses) -> list[str]:
    return [title for _, title, _ in read_rows(courses)]


@pytest.mark.parametrize(
    ("completed", "eligible", "percent"), [(299, 300, ">99%"), (1, 300, "<1%"), (300, 300, "100%"), (0, 300, "0%")]
)
def test_a_percent_is_all_or_none_only_if_the_rate_is(courses, completed, eligible, percent):
    [[rate, _, _]] = read_rows(courses(course(1, completed, eligible)))
    assert rate.split()[-1] == percent


class TestLargest:
    def test_have_a_bar_a_rate_and_its_parts(self, courses):
        shown = courses(course(1, 3, 4), course(2, 1_500, 2_000), course(3, 0, 20))
        assert read_rows(shown) == [
            ["████████░░ 75%", "Course 2", "1,500 of 2,000"],
            ["░░░░░░░░░░ 0%", "Course 3", "0 of 20"],
            ["████████░░ 75%", "Course 1", "3 of 4"],
        ]

    def test_of_equal_size_are_sorted_by_id(self, courses):
        assert read_titles(courses(course(2, 1, 2), course(1, 1, 2))) == ["Course 1", "Course 2"]

    def test_are_five_and_the_others_are_counted(self, courses):
        shown = courses(*(course(number, 1, 100 - number) for number in range(57)))
        assert read_titles(shown) == [f"Course {number}" for number in range(5)]
        assert shown.format_largest().endswith("\n\nand 52 smaller courses")

    def test_of_a_file_without_courses_are_a_sentence(self, courses):
        empty = courses()
        assert read_rows(empty) == []
        assert empty.format_largest().endswith("\n\nThere is no course.")
        assert empty.find_extremes() == {}

    def test_without_a_title_show_their_id(self, courses):
        assert read_titles(courses(course(1, 1, 2, course_title=None))) == ["c1"]

    def test_without_an_eligible_enrollment_have_no_rate(self, courses):
        empty = courses(course(1, 0, 0))
        assert read_rows(empty) == [["░░░░░░░░░░ -", "Course 1", "0 of 0"]]
        assert empty.find_extremes() == {}

    def test_have_their_titles_escaped(self, courses):
        assert r"| a\|b |" in courses(course(2, 0, 0, course_title="a|b")).format_largest()

    def test_are_shown_without_a_click(self, courses):
        many = (course(number, 100_000, 999_999, course_title="W" * 99) for number in range(30))
        assert len(courses(*many).format_largest()) < MAX_SHOWN_AT_ONCE


def test_extremes_leave_out_courses_with_few_enrollments(courses):
    lowest, highest = (
        courses(course(1, 0, 9), course(2, 3, 10), course(3, 5, 10), course(4, 9, 10), course(5, 1, 1))
        .find_extremes()
        .values()
    )
    assert (lowest.course_id, lowest.rate) == ("c2", 0.3)
    assert (highest.course_id, highest.rate) == ("c4", 0.9)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("First aid", "First aid"),
        ("  two\n lines\tand a tab ", "two lines and a tab"),
        ("bell\x07 escape\x1b[31m", "bell escape [31m"),
        ("half \ud83d an emoji", "half an emoji"),
        ("\u202eturned round\u202c", "turned round"),
        ("السلامة المهنية", "السلامة المهنية"),
        ("family 👨\u200d👩\u200d👧", "family 👨\u200d👩\u200d👧"),
        ("", ""),
        ("\u200b", ""),
        ("a\u200f\u061c\ufeff", "a"),
    ],
)
def test_a_title_is_shown_without_line_breaks_and_control_characters(text, line):
    assert shorten(text, 40) == line


def test_a_long_title_is_cut():
    assert shorten("Fire safety for beginners", 12) == "Fire safety…"
    assert shorten("Fire safety", 11) == "Fire safety"


@given(st.text(), st.integers(1, 50))
def test_a_title_is_never_longer_than_its_maximum(text, max_length):
    assert len(shorten(text, max_length)) <= max_length


@pytest.mark.parametrize(
    "text", ["a | b", "![x](https://example.org/x.png)", "<b>bold</b>", "*a* _b_ `c` ~d~", "ann@example.org", r"\|"]
)
def test_escaped_text_has_no_meaning_in_markdown(text):
    escaped = escape_markdown(text)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[|!\[\]()<>*_`~@:]", escaped)


@pytest.mark.parametrize(("share", "bar"), [(None, "░░░░"), (0, "░░░░"), (0.5, "██░░"), (0.99, "████"), (1, "████")])
def test_a_bar_is_filled_by_its_share(share, bar):
    assert format_bar(share, 4) == bar
