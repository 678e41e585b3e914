"""A data engineer's day in Dagster's UI, in a real browser. `make e2e` runs it; `make test` doesn't."""

import re

import pytest
from playwright.sync_api import expect

from lms_pipeline.sandbox.faults.refusing import Status
from lms_pipeline_tests.support.browser_pages import find_in_log, launch, metadata, open_partition, run_ended
from lms_pipeline_tests.support.browser_records import DAY, OVER

pytestmark = pytest.mark.browser

OPEN = DAY.isoformat()
PORTAL_IS_OFF = "The API of this portal is off"
BACKFILL_SECONDS = 120
"""The daemon looks at its backfills every 30 seconds."""


def test_the_catalogue_leads_to_what_a_table_is_and_what_its_columns_mean(page):
    page.goto("/")
    page.get_by_role("link", name="Catalog").click()
    page.get_by_role("link", name="unified_enrollments").click()
    expect(page.get_by_text("One enrollment a row")).to_be_visible()
    expect(page.get_by_text("Identifier of the learner").first).to_be_visible()


def test_the_graph_reads_from_the_api_over_the_rates_to_the_warehouse(page):
    page.set_viewport_size({"width": 1440, "height": 1100})
    page.goto("/")
    page.get_by_role("link", name="Lineage").click()
    for group in ("pull", "metrics", "warehouse"):
        expect(page.locator("svg").get_by_text(group, exact=True)).to_be_visible()
    page.goto("/asset-groups?expanded=global@global:pull,global@global:metrics,global@global:warehouse")
    nodes = [
        page.locator("svg").get_by_text(name, exact=True).last
        for name in ("truto", "course_completion", "warehouse")
    ]
    for node in nodes:
        expect(node).to_be_visible()
    page.get_by_role("button", name="zoom_out").dblclick()
    lefts = [node.bounding_box()["x"] for node in nodes]
    assert lefts == sorted(lefts)


def test_an_account_and_day_that_is_launched_by_hand_is_published(page):
    launch(page, ["south"], [OPEN])
    assert run_ended(page) == "SUCCESS"
    open_partition(page, "unified_enrollments", "south", OPEN)
    expect(metadata(page, "dagster/partition_row_count")).to_have_text("2")
    open_partition(page, "account_completion", "south", OPEN)
    expect(metadata(page, "completion_rate")).to_have_text("0.5")


def test_a_partition_tells_how_many_rows_it_has_and_how_many_learners_completed(page):
    open_partition(page, "unified_enrollments", "north", OPEN)
    expect(metadata(page, "dagster/partition_row_count")).to_have_text("9")
    open_partition(page, "account_completion", "north", OPEN)
    expect(metadata(page, "n_all")).to_have_text("8")
    expect(metadata(page, "n_completed")).to_have_text("3")
    expect(metadata(page, "completion_rate")).to_have_text("0.375")
    page.get_by_role("cell", name="withdrawal_rate", exact=True).scroll_into_view_if_needed()


def test_a_chart_shows_the_completion_of_each_course(page):
    open_partition(page, "course_completion", "north", OPEN)
    expect(metadata(page, "largest_courses").get_by_role("table")).to_contain_text("First aid")
    metadata(page, "completion_by_course").get_by_text("[Show Markdown]").click()
    chart = page.get_by_role("img", name="completion by course")
    expect(chart).to_have_attribute("src", re.compile("^data:image/svg"))
    drawn = chart.evaluate("async image => { await image.decode(); return image.naturalWidth }")
    assert drawn > 0


def test_a_backfill_publishes_the_open_day_and_says_why_the_day_before_can_not_be_had(page, output):
    launch(page, ["east", "west"], [OVER, OPEN])
    backfill = page.url
    counts = page.get_by_role("row", name=re.compile("daily_snapshot")).get_by_role("cell")
    expect(counts).to_have_text(
        [re.compile("100% completed"), "4", "0", "2", "2"], timeout=BACKFILL_SECONDS * 1000
    )
    open_partition(page, "unified_enrollments", "west", OPEN)
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    open_partition(page, "unified_enrollments", "west", OVER)
    page.get_by_text("failed, and did not materialize this asset").get_by_role("link").click()
    assert run_ended(page) == "FAILURE"
    find_in_log(page, "grace period")
    expect(page.get_by_text(f"{OVER} has ended and its grace period is over").first).to_be_visible()
    expect(page.get_by_text(f"the day that is open is {OPEN}").first).to_be_visible()
    page.screenshot(path=output / "a_day_that_is_over.png", animations="disabled")
    page.goto(backfill)
    status = page.get_by_text("Status", exact=True).locator("..")
    expect(status).to_contain_text("Failed", timeout=BACKFILL_SECONDS * 1000)


def test_the_schedule_is_turned_on_with_its_switch(page):
    page.goto("/automation")
    page.get_by_role("link", name="daily_snapshot").click()
    switch = page.get_by_role("row", name="Running").get_by_role("checkbox")
    switch.press("Space")
    expect(page.get_by_role("row", name="Next tick")).to_contain_text("2:00:00 AM UTC")
    page.reload()
    expect(switch).to_be_checked()
    switch.press("Space")
    expect(switch).not_to_be_checked()


def test_an_account_whose_lms_refuses_says_so_on_the_page_of_its_run(page, sandbox):
    sandbox.fault(Status(account="locked", status=403, remote=True, message=PORTAL_IS_OFF))
    launch(page, ["locked"], [OPEN])
    assert run_ended(page) == "FAILURE"
    find_in_log(page, "refused the request")
    told = f"The LMS behind Truto refused the request and says {PORTAL_IS_OFF!r}"
    expect(page.get_by_text(told).first).to_be_visible()


EXPECTED = {
    "LMS_NOW is set: ": "on purpose, in every step",
    " - STEP_FAILURE - ": "of the runs that have to fail",
    " - RUN_FAILURE - ": "the same",
    "Dependencies for step ": "the same",
    f"{OVER} has ended and its grace period is over": "why they do",
    PORTAL_IS_OFF: "the same",
    "No cursor for event type": "Dagster's own, where it starts over an empty folder",
}
"""What may be printed as a warning or an error, and why."""


def test_nothing_else_is_printed_as_a_warning_or_an_error(ui):
    """Of all that the tests before this one did."""
    printed = ui.log.read_text(encoding="utf-8").splitlines()
    loud = [line for line in printed if re.search(r"WARNING|ERROR|CRITICAL|Warning:|Traceback", line)]
    assert [line for line in loud if not any(words in line for words in EXPECTED)] == []
