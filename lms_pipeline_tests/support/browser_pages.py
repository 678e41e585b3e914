"""What a data engineer does in Dagster's UI, in as few words: by roles and texts, waiting for what has to appear.

What belongs here: steps that several tests take. What has to be seen in the end stands in the tests.
"""

import re

from playwright.sync_api import expect

JOB = "/locations/lms_pipeline/jobs/daily_snapshot"
ENDED = re.compile(r"\[(SUCCESS|FAILURE|CANCELED)\]$")
RUN_SECONDS = 60
"""For a run to wait for the daemon, start its process, and end."""


def launch(page, accounts, days):
    """Launch accounts and days from the job's dialog, and go where its message leads: to the run or the backfill."""
    page.goto(JOB)
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog").filter(has_text="Partition selection")
    date = dialog.get_by_placeholder("ex:")
    date.wait_for()
    dialog.get_by_text("Select a partition").first.click()
    for account in accounts:
        page.get_by_role("menuitem", name=account).click()
    page.keyboard.press("Escape")
    date.fill(", ".join(days))
    date.press("Enter")
    dialog.get_by_role("button", name="Launch").click()
    page.get_by_role("region", name="Notifications").get_by_role("link", name="View").click()
    page.mouse.move(0, 0)  # a message stays while the pointer is on it


def run_ended(page):
    """Wait for the run on the page to end, and say how."""
    expect(page).to_have_title(ENDED, timeout=RUN_SECONDS * 1000)
    [how] = ENDED.findall(page.title())
    return how


def find_in_log(page, words):
    """Leave of a run's log what holds these words: of a long one the page has but the rows that fit it."""
    page.get_by_placeholder("Filter").fill(words)
    page.keyboard.press("Enter")


def open_partition(page, asset, account, day):
    """An asset's page, at one of its partitions."""
    page.goto(f"/assets/{asset}?view=partitions&partition={account}%7C{day}")


def metadata(page, name):
    """The value of a metadata entry on the page."""
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    return row.get_by_role("cell").nth(1)
