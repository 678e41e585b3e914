"""Titles from outside on pages of ours."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.report.charts import in_markdown, one_line, text_bar


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
    ],
)
def test_a_line_has_no_breaks_and_no_controls(text, line):
    assert one_line(text, 40) == line


def test_a_line_that_is_too_long_is_cut():
    assert one_line("Fire safety for beginners", 12) == "Fire safety…"
    assert one_line("Fire safety", 11) == "Fire safety"


@given(st.text(), st.integers(1, 50))
def test_a_line_is_never_longer_than_it_may_be(text, longest):
    assert len(one_line(text, longest)) <= longest


@pytest.mark.parametrize(
    "text",
    ["a | b", "![x](https://example.org/x.png)", "<b>bold</b>", "*a* _b_ `c` ~d~", "ann@example.org", r"\|"],
)
def test_no_mark_means_anything_in_markdown(text):
    escaped = in_markdown(text)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[|!\[\]()<>*_`~@:]", escaped)


@pytest.mark.parametrize(
    ("share", "bar"), [(None, "░░░░"), (0, "░░░░"), (0.5, "██░░"), (0.99, "████"), (1, "████")]
)
def test_a_bar_of_text_is_as_long_as_its_share(share, bar):
    assert text_bar(share, 4) == bar
