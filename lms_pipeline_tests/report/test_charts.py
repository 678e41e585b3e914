"""Pictures of rates."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.report.charts import FILL, MARGIN, TRACK, WIDTH, Bar, as_markdown, bars_svg
from lms_pipeline_tests.support.pictures import SVG, parsed, texts

FULL = WIDTH - 2 * MARGIN
MAX_BODY_BYTES = 50_000
"""Of Markdown that Dagster's page takes in its stride."""


def drawn(*bars, footnote=""):
    return parsed(bars_svg("Completion", "completed of eligible", bars, footnote))


def lengths(picture, color):
    return [float(bar.get("width")) for bar in picture.iter(f"{SVG}rect") if bar.get("fill") == color]


def test_a_bar_is_as_long_as_its_rate():
    picture = drawn(
        Bar("a", 0.25, "1 of 4"), Bar("b", 1, "4 of 4"), Bar("c", 0, "0 of 4"), Bar("d", None, "0 of 0")
    )
    assert lengths(picture, FILL) == [FULL / 4, FULL, 0, 0]
    assert lengths(picture, TRACK) == [FULL] * 4


def test_the_rate_and_what_it_is_made_of_stand_beside_the_label():
    picture = drawn(Bar("First aid", 2 / 3, "2 of 3"), Bar("Empty", None, "0 of 0"))
    assert texts(picture)[2:6] == ["First aid", "67% 2 of 3", "Empty", "- 0 of 0"]


def test_the_picture_says_what_it_shows_and_how_much_it_does_not():
    assert texts(drawn(Bar("a", 1, "1 of 1"), footnote="and 42 smaller courses")) == [
        "Completion",
        "completed of eligible",
        "a",
        "100% 1 of 1",
        "and 42 smaller courses",
    ]


def test_the_picture_has_a_ground_of_its_own_and_grows_with_its_bars():
    low, high = drawn(), drawn(*[Bar("a", 1, "1 of 1")] * 3)
    for picture in (low, high):
        ground = next(picture.iter(f"{SVG}rect"))
        assert ground.get("fill") == "#fff"
        assert float(ground.get("height")) == int(picture.get("height")) - 1
    assert int(high.get("height")) - int(low.get("height")) == 3 * 32


def test_nothing_stands_outside_the_picture():
    picture = drawn(*[Bar("W" * 200, 1, "9,999,999 of 9,999,999")] * 15, footnote="and 42 smaller courses")
    for part in picture.iter(f"{SVG}svg"):
        if part is not picture:
            assert float(part.get("x")) + float(part.get("width")) <= WIDTH
            assert float(part.get("y")) + float(part.get("height")) <= int(picture.get("height"))


@pytest.mark.parametrize(
    "title",
    [
        "<script>alert(1)</script>",
        "Fish & \"chips\" 'n' ]]>",
        "مقدمة في السلامة",
        "👨\u200d🚒 fire",
        "a\x00b\x1bc\ud800d",
    ],
)
def test_a_title_is_text_whatever_it_holds(title):
    picture = drawn(Bar(title, 0.5, "1 of 2"))
    assert texts(picture)[2] == re.sub("[\x00\x1b\ud800]", " ", title)
    assert {part.tag.removeprefix(SVG) for part in picture.iter()} == {"svg", "rect", "text", "tspan"}


@given(st.lists(st.tuples(st.text(st.characters()), st.none() | st.floats(0, 1)), max_size=15))
def test_every_picture_is_xml_and_small(bars):
    svg = bars_svg("t" * 300, "s" * 300, [Bar(label, rate, "1 of 2") for label, rate in bars], "f" * 300)
    parsed(svg)
    assert len(as_markdown(svg, "rates")) < MAX_BODY_BYTES


def test_the_largest_picture_is_small():
    worst = [Bar("\U0010ffff&'\"" * 100, 1, "9,999,999 of 9,999,999")] * 15
    assert len(as_markdown(bars_svg("&" * 300, "&" * 300, worst, "&" * 300), "rates")) < MAX_BODY_BYTES


def test_markdown_holds_the_picture_itself():
    svg = bars_svg("Completion", "", [Bar("é", 0.5, "1 of 2")])
    before, data = as_markdown(svg, "rates").split("base64,")
    assert before == "![rates](data:image/svg+xml;"
    assert base64.b64decode(data.removesuffix(")")).decode() == svg
