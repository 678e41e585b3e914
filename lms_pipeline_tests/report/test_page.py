"""The page: it loads nothing, shows texts of an LMS as text, stays small, and is the same for the same lake."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.report.charts import build_theme
from lms_pipeline.report.content import build_content
from lms_pipeline.report.page import build_chart_data, build_sections, render_page
from lms_pipeline.report.sections.definitions import build_definitions
from lms_pipeline.report.sections.over_time import cut, find_horizon, find_milestones, thin
from lms_pipeline.report.small_groups import CurvePoint
from lms_pipeline.report.views import ChartView, Exhibit, Section, TableView, build_name_cell
from lms_pipeline.settings import Settings
from lms_pipeline.tables.measures import RATES
from lms_pipeline_tests.support.report_lake import (
    DAY,
    NOW,
    Enrolled,
    make_enrollments,
    make_titles,
    publish_day,
    register,
)

MAX_BYTES = 5_000_000
HOSTILE = "</script><script>alert(1)</script> \u202egnp.exe\x00 <b>&amp;\u2028 =1+1"


class Reader(HTMLParser):
    """Collects elements, script texts and visible text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.scripts, self.texts, self._in_script = [], [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self._in_script = True

    def handle_endtag(self, tag):
        self._in_script = False if tag == "script" else self._in_script

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.texts.append(data)


@pytest.fixture(scope="module")
def page(company):
    return render_page(build_content(company()))


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def test_the_same_lake_and_time_give_the_same_page(page, company):
    assert render_page(build_content(company())) == page


def test_nothing_is_loaded(read):
    loading = [element for element in read.elements if {"src", "href", "srcset", "action"} & set(element[1])]
    assert all(attributes.get("href", "").startswith("#") for _, attributes in loading)
    assert not {tag for tag, _ in read.elements} & {"link", "iframe", "img", "object", "embed", "form", "base"}


def test_the_policy_allows_these_scripts_and_no_request(read):
    (policy,) = (
        attributes["content"]
        for _, attributes in read.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    library, code = read.scripts[1:]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (library, code)]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    assert policy.split("; ")[:2] == ["default-src 'none'", f"script-src {allowed}"]
    assert "unsafe-eval" not in policy


def test_every_chart_has_a_place_a_description_and_a_table(read):
    specs = json.loads(read.scripts[0])["specs"]
    places = {attributes["id"]: attributes for _, attributes in read.elements if attributes.get("class") == "chart"}
    assert set(specs) == set(places)
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 40 for attributes in places.values())
    tables = [attributes["id"] for tag, attributes in read.elements if tag == "table"]
    assert len(tables) == len(set(tables)) >= len(specs)
    buttons = [attributes["data-table"] for tag, attributes in read.elements if tag == "button"]
    assert buttons == tables


def test_headings_are_in_order(read):
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}


def test_links_lead_to_sections(read):
    ids = {attributes.get("id") for _, attributes in read.elements}
    links = {attributes["href"][1:] for tag, attributes in read.elements if tag == "a"}
    assert links <= ids


def test_each_headline_rate_has_its_denominator_in_words(read):
    text = "".join(read.texts)
    assert re.search(r"[\d,]+ of [\d,]+ enrollments whose due day has come were completed on time", text)
    assert re.search(r"[\d,]+ of [\d,]+ learners with mandatory training have completed all of it", text)


def test_withdrawn_mandatory_enrollments_stand_beside_the_rate(read):
    assert re.search(r"Withdrawn: \d+ mandatory enrollments, which count in no rate", "".join(read.texts))


def test_every_rate_is_defined(company):
    table = build_definitions(build_content(company())).exhibits[0].table
    assert [row[3].text for row in table.rows] == [rate.name for rate in RATES]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of an account whose names and titles are hostile, with names."""
    data = DataDir(tmp_path_factory.mktemp("hostile"))
    register(data, {"acme": HOSTILE})
    enrollments = [Enrolled(f"u{number}", "c1", "completed" if number % 2 else "in_progress") for number in range(20)]
    publish_day(data, "acme", DAY, enrollments, {"c1": HOSTILE})
    content = build_content(Settings(data_dir=data.root, frozen_now=NOW), account_id="acme", with_names=True)
    return render_page(content)


def test_hostile_texts_add_no_element(hostile):
    read = Reader(hostile)
    assert len(read.scripts) == 3
    assert "b" not in {tag for tag, _ in read.elements}


def test_hostile_texts_are_shown_as_text(hostile):
    assert "</script><script>alert(1)</script> gnp.exe <b>&amp;" in "".join(Reader(hostile).texts)


def test_control_characters_and_marks_of_direction_are_removed(hostile):
    code = Reader(hostile).scripts[1]
    assert not re.search("[\x00\u202e\u2028]", hostile.replace(code, ""))


def test_chart_data_can_not_end_its_script():
    table = TableView("t", "", [], [[build_name_cell("x")]])
    figure = Exhibit(table, ChartView("c", "", "", {"data": "</script><!--<script>&\u2028"}))
    text = build_chart_data([Section("s", "", "", [figure])])
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text)["specs"] == {"c": {"data": "</script><!--<script>&\u2028"}}


def test_300_courses_stay_below_the_limit(tmp_path):
    data = DataDir(tmp_path)
    register(data, {"acme": "Acme"})
    publish_day(data, "acme", DAY, make_enrollments(60, 300, 1), make_titles(300))
    page = render_page(build_content(Settings(data_dir=tmp_path, frozen_now=NOW), account_id="acme", with_names=True))
    assert page.count('<th scope="row">Fire safety') >= 25
    assert len(page.encode()) < MAX_BYTES


def test_a_limit_leaves_no_count_but_those_of_completion(company):
    sections = {section.id: section for section in build_sections(build_content(company(60)))}
    assert sections["cohorts"].exhibits == ()
    table = sections["mandatory"].exhibits[0].table
    assert list(table.header) == ["Rate", "Share", "What is counted"]
    assert all(re.fullmatch(r"[<>]?\d+%", row[1].text) for row in table.rows)
    assert "Carried over" not in sections["quality"].exhibits[0].table.header


def make_point(day, completed, left):
    return CurvePoint(day, 9, completed, None, None, left, None, None, 1 - completed - left)


@pytest.mark.parametrize(
    ("points", "days"),
    [
        ([make_point(0, 0, 0), make_point(20, 0.5, 0.1), make_point(400, 0.5, 0.1)], [0, 20, 33]),
        ([make_point(0, 0, 0), make_point(60, 0.5, 0.1), make_point(400, 0.5, 0.1)], [0, 60, 66]),
        ([make_point(0, 0, 0), make_point(20, 0.5, 0), make_point(400, 0.5, 0.3)], [0, 20, 400]),
        ([make_point(0, 0, 0), make_point(20, 0.5, 0.1)], [0, 20]),
        ([make_point(0, 0, 0)], [0]),
    ],
)
def test_a_chart_of_a_curve_ends_where_it_is_nearly_flat(points, days):
    assert [point.day for point in cut(points, find_horizon(points))] == days


def test_the_table_of_a_curve_has_its_value_at_milestones():
    points = [make_point(0, 0, 0), make_point(10, 0.25, 0), make_point(20, 0.5, 0)]
    assert [(day, point.completed) for day, point in find_milestones(points)] == [(0, 0), (7, 0), (14, 0.25), (20, 0.5)]


def test_a_long_curve_is_thinned_to_its_ends_and_points_between():
    points = [make_point(day, 0, 0) for day in range(1_000)]
    thinned = thin(points)
    assert (len(thinned), thinned[0].day, thinned[-1].day) == (150, 0, 999)


def test_both_themes_have_the_same_parts():
    light, dark = build_theme(is_dark=False), build_theme(is_dark=True)
    assert light.keys() == dark.keys()
    assert light["style"].keys() == dark["style"].keys()
    assert light["range"] != dark["range"]
