"""The report in a real browser: without a request, readable by everybody, and its tables copied as CSV."""

import csv
import io

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.report.publishing import write_report
from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.report_lake import DAY, NOW, Enrolled, build_company, publish_day, register

pytestmark = pytest.mark.browser

WIDTHS = {"phone": 390, "desktop": 1280}
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
DRAWN = "data-drawn"
"""Set when all charts are drawn. Not awaited by a script: the policy of the page forbids it to evaluate one."""


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """The reports of a made-up company: over all accounts, of one account with names, and with small groups withheld."""
    data = DataDir(tmp_path_factory.mktemp("reports"))
    build_company(data, days=35)
    settings = Settings(data_dir=data.root, frozen_now=NOW)
    limited = settings.model_copy(update={"min_cohort": 60})
    return {
        "all": write_report(settings),
        "account": write_report(settings, account_id="north", with_names=True),
        "limited": write_report(limited, output=data.root / "limited.html"),
    }


@pytest.fixture
def open_report(chromium):
    """Return a function that opens a report; at the end nothing was requested and nothing printed to the console."""
    contexts, requested, printed = [], [], []

    def open_page(path, width="desktop", scheme="light", **more):
        context = chromium.new_context(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: printed.append(message.text))
        page.on("pageerror", lambda error: printed.append(str(error)))
        page.goto(path.as_uri())
        if more.get("java_script_enabled", True):
            expect(page.locator("html")).to_have_attribute(DRAWN, scheme)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in requested if not url.startswith("file:")] == []
    assert printed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["all", "account", "limited"])
def test_no_rule_of_wcag_is_violated(open_report, reports, output, name, width, scheme):
    page = open_report(reports[name], width, scheme)
    found = Axe().run(page, options=WCAG)
    page.screenshot(path=output / f"report-{name}-{width}-{scheme}.png")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_width(open_report, reports, width):
    page = open_report(reports["all"], width)
    assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS[width]


def test_every_chart_is_drawn(open_report, reports):
    page = open_report(reports["account"])
    charts = page.locator(".chart").all()
    assert len(charts) >= 10
    for chart in charts:
        assert chart.locator("svg").count() == 1


def test_charts_follow_the_colour_scheme(open_report, reports):
    page = open_report(reports["all"])
    bars = page.locator("#chart-courses svg .mark-rect path")
    light = bars.last.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute(DRAWN, "dark")
    assert bars.last.get_attribute("fill") != light


def test_series_differ_without_colour(open_report, reports):
    page = open_report(reports["all"])
    lines = page.locator("#chart-trend svg .mark-line path").all()
    dashes = [line.get_attribute("stroke-dasharray") for line in lines]
    assert len(dashes) == len(set(dashes)) >= 3


def test_a_table_is_copied_as_csv(open_report, reports):
    page = open_report(reports["all"], permissions=["clipboard-read", "clipboard-write"])
    page.locator("#table-due").locator("xpath=ancestor::details").get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("Copied 9 rows as CSV.")
    rows = list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert rows[0] == ["", "Enrollments", "Share"]
    assert rows[1][0] == "Completed on time"
    assert sum(int(row[1]) for row in rows[1:-1]) == int(rows[-1][1])
    assert rows[-1][2] == "1"


def test_a_title_like_a_formula_is_copied_as_text(open_report, tmp_path):
    data = DataDir(tmp_path)
    register(data, {"acme": "Acme"})
    title = '=HYPERLINK("https://example.org","x"), y'
    publish_day(data, "acme", DAY, [Enrolled(f"u{number}", "c1") for number in range(5)], {"c1": title})
    path = write_report(Settings(data_dir=tmp_path, frozen_now=NOW))
    page = open_report(path, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("Table: All courses").click()
    page.get_by_role("button", name="Copy as CSV: All courses").click()
    rows = list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert rows[1][0] == f"'{title}"


def test_everything_is_reached_by_keyboard(open_report, reports):
    page = open_report(reports["all"])
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the report")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Chart: Rates from")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Rates by day")).to_be_visible()


def test_without_scripts_the_tables_are_there(open_report, reports):
    page = open_report(reports["all"], java_script_enabled=False)
    page.get_by_text("Table: All courses").click()
    expect(page.locator("#table-courses")).to_contain_text("Information security")
