"""The daily tasks of a data engineer in Dagster's UI, in a real browser. `make e2e` runs them, `make test` does not."""

import re

import pytest
from playwright.sync_api import expect

from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.browser_pages import filter_log, find_metadata, launch, open_partition, wait_for_run
from lms_pipeline_tests.support.browser_records import CLOSED_DAY, DAY

pytestmark = pytest.mark.browser

OPEN_DAY = DAY.isoformat()
PORTAL_IS_OFF = "The API of this portal is off"
BACKFILL_SECONDS = 240
"""The daemon processes backfills every 30 seconds."""


def test_the_catalog_shows_the_description_of_a_table_and_its_columns(page):
    page.goto("/")
    page.get_by_role("link", name="Catalog").click()
    page.get_by_role("link", name="unified_enrollments").click()
    expect(page.get_by_text(re.compile("One (row per enrollment|enrollment a row)"))).to_be_visible()
    expect(page.get_by_text("Identifier of the learner").first).to_be_visible()


def test_the_graph_leads_from_the_api_over_the_rates_to_the_warehouse(page):
    page.set_viewport_size({"width": 1440, "height": 1400})
    page.goto("/")
    page.get_by_role("link", name="Lineage").click()
    for group in ("pull", "metrics", "warehouse"):
        expect(page.locator("svg").get_by_text(group, exact=True)).to_be_visible()
    page.goto("/asset-groups?expanded=global@global:pull,global@global:metrics,global@global:warehouse")
    page.get_by_role("button", name="zoom_out").dblclick()  # the page does not contain what is out of view
    nodes = [
        page.locator("svg").get_by_text(name, exact=True).last for name in ("truto", "course_completion", "warehouse")
    ]
    for node in nodes:
        expect(node).to_be_visible()
    lefts = [node.bounding_box()["x"] for node in nodes]
    assert lefts == sorted(lefts)


def test_a_partition_launched_by_hand_is_published(page):
    launch(page, ["south"], [OPEN_DAY])
    assert wait_for_run(page) == "SUCCESS"
    open_partition(page, "unified_enrollments", "south", OPEN_DAY)
    expect(find_metadata(page, "dagster/partition_row_count")).to_have_text("2")
    open_partition(page, "account_completion", "south", OPEN_DAY)
    expect(find_metadata(page, "completion_rate")).to_have_text("0.5")


def test_a_partition_shows_its_rows_and_completions(page):
    open_partition(page, "unified_enrollments", "north", OPEN_DAY)
    expect(find_metadata(page, "dagster/partition_row_count")).to_have_text("9")
    open_partition(page, "account_completion", "north", OPEN_DAY)
    expect(find_metadata(page, "n_all")).to_have_text("8")
    expect(find_metadata(page, "n_completed")).to_have_text("3")
    expect(find_metadata(page, "completion_rate")).to_have_text("0.375")
    page.get_by_role("cell", name="withdrawal_rate", exact=True).scroll_into_view_if_needed()


def test_a_chart_shows_the_completion_of_each_course(page, output):
    open_partition(page, "course_completion", "north", OPEN_DAY)
    rows = find_metadata(page, "largest_courses").get_by_role("table").get_by_role("row")
    expect(rows).to_have_text(
        [
            re.compile("completed"),
            re.compile("█████░░░░░ 50%.*First aid.*2 of 4"),
            re.compile("███░░░░░░░ 33%.*Fire safety.*1 of 3"),
            re.compile("░░░░░░░░░░ 0%.*Manual handling.*0 of 1"),
        ]
    )
    rows.last.scroll_into_view_if_needed()
    find_metadata(page, "largest_courses").screenshot(path=output / "largest_courses.png", animations="disabled")


def test_a_backfill_publishes_the_open_day_and_explains_the_failed_closed_day(page, output):
    launch(page, ["east", "west"], [CLOSED_DAY, OPEN_DAY])
    backfill = page.url
    counts = page.get_by_role("row", name=re.compile("daily_snapshot")).get_by_role("cell")
    expect(counts).to_have_text([re.compile("100% completed"), "4", "0", "2", "2"], timeout=BACKFILL_SECONDS * 1000)
    open_partition(page, "unified_enrollments", "west", OPEN_DAY)
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    open_partition(page, "unified_enrollments", "west", CLOSED_DAY)
    page.get_by_text("failed, and did not materialize this asset").get_by_role("link").click()
    assert wait_for_run(page) == "FAILURE"
    filter_log(page, "is closed")
    expect(page.get_by_text(f"{CLOSED_DAY} is closed and can't be pulled any more").first).to_be_visible()
    expect(page.get_by_text(f"the day that is open is {OPEN_DAY}").first).to_be_visible()
    page.screenshot(path=output / "a_closed_day.png", animations="disabled")
    page.goto(backfill)
    status = page.get_by_text("Status", exact=True).locator("..")
    expect(status).to_contain_text("Failed", timeout=BACKFILL_SECONDS * 1000)


def test_the_schedule_has_a_switch(page):
    page.goto("/automation")
    page.get_by_role("link", name="daily_snapshot").click()
    switch = page.get_by_role("row", name="Running").get_by_role("checkbox")
    switch.press("Space")
    expect(page.get_by_role("row", name="Next tick")).to_contain_text("2:00:00 AM UTC")
    page.reload()
    expect(switch).to_be_checked()
    switch.press("Space")
    expect(switch).not_to_be_checked()


def test_the_page_of_a_run_shows_that_the_lms_refused_the_request(page, sandbox):
    sandbox.fault(Status(account="locked", status=403, remote=True, message=PORTAL_IS_OFF))
    launch(page, ["locked"], [OPEN_DAY])
    assert wait_for_run(page) == "FAILURE"
    filter_log(page, "refused the request")
    message = f"The LMS behind Truto refused the request and says {PORTAL_IS_OFF!r}"
    expect(page.get_by_text(message).first).to_be_visible()


EXPECTED = {
    "LMS_NOW is set: ": "LMS_NOW is set for these tests; every step warns",
    " - STEP_FAILURE - ": "runs that are expected to fail",
    " - RUN_FAILURE - ": "the same",
    "Dependencies for step ": "the same",
    f"{CLOSED_DAY} is closed and can't be pulled any more": "their cause",
    PORTAL_IS_OFF: "the same",
    "No cursor for event type": "Dagster's own, on its first start",
}
"""Expected warnings and errors, and why they are expected."""


def test_no_other_warning_or_error_is_printed(ui):
    """Checks the output of all tests before this one."""
    printed = ui.log.read_text(encoding="utf-8").splitlines()
    problems = [line for line in printed if re.search(r"WARNING|ERROR|CRITICAL|Warning:|Traceback", line)]
    assert [line for line in problems if not any(text in line for text in EXPECTED)] == []
