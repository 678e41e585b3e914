"""A run of several accounts in Dagster's UI, in a real browser: each account has its own state."""

import pytest
from playwright.sync_api import expect

from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.browser_pages import filter_log, find_metadata, launch, open_partition, wait_for_run
from lms_pipeline_tests.support.browser_records import DAY, NOW
from lms_pipeline_tests.support.browser_serving import build_environment, run_command, serve_ui

pytestmark = pytest.mark.browser

OPEN_DAY = DAY.isoformat()
ACCOUNTS = ["east", "locked", "north", "south", "west"]
BACKFILL_SECONDS = 240
"""The daemon processes backfills every 30 seconds."""


@pytest.fixture(scope="module")
def ui(sandbox, output, tmp_path_factory):
    """The UI of an installation whose runs have up to 25 accounts."""
    folder = tmp_path_factory.mktemp("fleet")
    environment = build_environment(
        sandbox, folder, LMS_NOW=NOW.isoformat(), LMS_START_DATE=OPEN_DAY, LMS_ACCOUNTS_PER_RUN="25"
    )
    run_command(environment, folder, "accounts", "sync")
    with serve_ui(environment, folder, output / "dagster-dev-batch.txt") as served:
        yield served


def test_an_account_that_fails_leaves_the_others_of_its_run_published(page, sandbox):
    sandbox.fault(Status(account="locked", status=403, remote=True, message="The API of this portal is off"))
    launch(page, ACCOUNTS, [OPEN_DAY], "/assets/unified_enrollments")
    status = page.get_by_text("Status", exact=True).locator("..")
    expect(status).to_contain_text("Failed", timeout=BACKFILL_SECONDS * 1000)

    open_partition(page, "unified_enrollments", "north", OPEN_DAY)
    expect(find_metadata(page, "dagster/partition_row_count")).to_have_text("9")

    open_partition(page, "unified_enrollments", "locked", OPEN_DAY)
    for count in ("Failed (1)", "Materialized (4)"):
        expect(page.get_by_text(count)).to_be_visible()
    page.get_by_text("failed, and did not materialize this asset").get_by_role("link").click()
    assert wait_for_run(page) == "FAILURE"
    filter_log(page, "accounts failed")
    expect(page.get_by_text("1 of 5 accounts failed: locked").first).to_be_visible()
    open_partition(page, "unified_enrollments", "locked", OPEN_DAY)
    expect(page.get_by_text("Materialized (4)")).to_be_visible()
