"""Steps in Dagster's UI that several tests share. Elements are found by role and text, and waited for.

Not here: what a test expects in the end.
"""

import re

from playwright.sync_api import expect

JOB = "/locations/lms_pipeline/jobs/daily_snapshot"
ENDED = re.compile(r"\[(SUCCESS|FAILURE|CANCELED)\]$")
SELECTION_RETRIES = 4
"""On a busy machine the dialog can lose a selection while it loads; once it lost two in a row."""
RUN_SECONDS = 120
"""Time for a run to be launched by the daemon, start its process, and end."""


def launch(page, accounts, days, address=JOB):
    """Launch accounts and days from the dialog of a job or table, and follow the link in its message to the run or backfill."""
    dialog = _select_partitions(page, accounts, days, address)
    for _ in range(SELECTION_RETRIES):
        if _is_selected(dialog, len(accounts) * len(days)):
            break
        dialog = _select_partitions(page, accounts, days, address)
    dialog.get_by_role("button", name="Launch").click()
    page.get_by_role("region", name="Notifications").get_by_role("link", name="View").click()
    page.mouse.move(0, 0)  # a message does not fade while the pointer is on it


def _select_partitions(page, accounts, days, address):
    page.goto(address)
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Partition selection")
    date = dialog.get_by_placeholder("ex:")
    date.wait_for()
    dialog.get_by_text("Select a partition").first.click()
    for account in accounts:
        page.get_by_role("menuitem", name=account).click()
    page.keyboard.press("Escape")
    date.fill(", ".join(days))
    date.press("Enter")
    return dialog


def _is_selected(dialog, n_partitions):
    try:
        expect(dialog.get_by_text(re.compile(rf"^{n_partitions} partitions?$"))).to_be_visible(timeout=10_000)
        expect(dialog.get_by_role("button", name="Launch")).to_be_enabled(timeout=10_000)
    except AssertionError:
        return False
    return True


def wait_for_run(page):
    """Wait until the run on the page has ended, and return its status."""
    expect(page).to_have_title(ENDED, timeout=RUN_SECONDS * 1000)
    [status] = ENDED.findall(page.title())
    return status


def filter_log(page, text):
    """Filter the log of a run by a text. Of a long log the page contains only the rows in view."""
    page.get_by_placeholder("Filter").fill(text)
    page.keyboard.press("Enter")


def open_partition(page, asset, account, day):
    """Open the page of an asset at one of its partitions."""
    page.goto(f"/assets/{asset}?view=partitions&partition={account}%7C{day}")


def find_metadata(page, name):
    """Return the cell with the value of a metadata entry."""
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    return row.get_by_role("cell").nth(1)
