"""Dagster's web UI as `lms-pipeline ui` serves it over a sandbox, and Debian's Chromium to look at it.

What belongs here: what has to run before a page can be looked at. What is done on pages is `pages.py`.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
from playwright.sync_api import expect, sync_playwright

from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.sandbox import records_world, running
from lms_pipeline_tests.support.browser_records import DAY, NOW, OVER, lines
from lms_pipeline_tests.support.browser_serving import run, serving

OUTPUT = Path(__file__).parents[2] / "e2e-output"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
"""No sandbox, since Chromium refuses to make one as root; and nothing is asked of other machines."""
SECONDS_TO_APPEAR = 20


@pytest.fixture(scope="session")
def output():
    """The folder of pictures and logs, empty at first."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    return OUTPUT


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.exit(
            "There is no Chromium: install Debian's chromium (apt-get install chromium).", returncode=1
        )
    expect.set_options(timeout=SECONDS_TO_APPEAR * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    records = tmp_path_factory.mktemp("sandbox") / "records.ndjson"
    records.write_text("\n".join(lines()), encoding="utf-8")
    with running(records_world([records])) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture(scope="session")
def ui(sandbox, output, tmp_path_factory):
    """The UI over all accounts, the open day of `north` published already."""
    folder = tmp_path_factory.mktemp("installation")
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "TRUTO_BASE_URL": sandbox.url,
        "TRUTO_API_TOKEN": sandbox.token,
        "LMS_ACCOUNT_CALLS_PER_10S": "0",
        "LMS_TOKEN_CALLS_PER_10S": "0",
        "LMS_NOW": NOW.isoformat(),
        "LMS_START_DATE": OVER,
        "LMS_DATA_DIR": str(folder / "data"),
    }
    run(environment, folder, "accounts", "sync")
    run(environment, folder, "materialize", "--account", "north", "--date", DAY.isoformat())
    with dg.DagsterInstance.from_config(str(folder / "data" / "dagster")) as instance:
        add_accounts(instance, ["south", "east", "west", "locked"])  # as the sensor does, but without runs
    with serving(environment, folder, output / "dagster-dev.txt") as served:
        yield served


@pytest.fixture(scope="session")
def elsewhere(output):
    """What pages asked of other machines, in vain; it is kept beside the pictures."""
    asked: set[str] = set()
    yield asked
    (output / "asked-elsewhere.txt").write_text("\n".join(sorted(asked)), encoding="utf-8")


@pytest.fixture
def page(chromium, ui, elsewhere, output, request):
    """A page of a browser that has never been here; its last sight is kept."""
    context = chromium.new_context(
        base_url=ui.url, viewport={"width": 1280, "height": 800}, locale="en-US", timezone_id="UTC"
    )
    context.set_default_timeout(SECONDS_TO_APPEAR * 1000)
    context.route(_is_elsewhere, lambda route: (elsewhere.add(route.request.url), route.abort()))
    page = context.new_page()
    yield page
    # a picture in the middle of a fade shows what nobody sees
    page.screenshot(path=output / f"{request.node.name.removeprefix('test_')}.png", animations="disabled")
    context.close()


def _is_elsewhere(url):
    return urlsplit(url).hostname not in {"127.0.0.1", None}
