"""Fixtures: Dagster's web UI, served by `lms-pipeline ui` over a sandbox, and Debian's Chromium to open it.

Not here: what tests do on pages (`support/browser_pages.py`).
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
from playwright.sync_api import expect, sync_playwright

from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.sandbox import records_world, running
from lms_pipeline_tests.support.browser_records import CLOSED_DAY, DAY, NOW, build_records
from lms_pipeline_tests.support.browser_serving import build_environment, run_command, serve_ui

OUTPUT = Path(__file__).parents[2] / "e2e-output"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
"""Chromium refuses to run as root with its sandbox. The last flag blocks requests to other machines."""
APPEAR_TIMEOUT_SECONDS = 60


@pytest.fixture(scope="session")
def output():
    """The folder of screenshots and logs, emptied first."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    return OUTPUT


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.exit("There is no Chromium: install Debian's chromium (apt-get install chromium).", returncode=1)
    expect.set_options(timeout=APPEAR_TIMEOUT_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    records = tmp_path_factory.mktemp("sandbox") / "records.ndjson"
    records.write_text("\n".join(build_records()), encoding="utf-8")
    with running(records_world([records])) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture(scope="session")
def ui(sandbox, output, tmp_path_factory):
    """The UI over all accounts. The open day of `north` is published already."""
    folder = tmp_path_factory.mktemp("installation")
    environment = build_environment(sandbox, folder, LMS_NOW=NOW.isoformat(), LMS_START_DATE=CLOSED_DAY)
    run_command(environment, folder, "accounts", "sync")
    run_command(environment, folder, "materialize", "--account", "north", "--date", DAY.isoformat())
    with dg.DagsterInstance.from_config(str(folder / "data" / "dagster")) as instance:
        add_accounts(instance, ["south", "east", "west", "locked"])  # as the sensor does, without its runs
    with serve_ui(environment, folder, output / "dagster-dev.txt") as served:
        yield served


@pytest.fixture(scope="session")
def blocked_urls(output):
    """The blocked requests of pages to other machines, written beside the screenshots."""
    urls: set[str] = set()
    yield urls
    (output / "blocked-urls.txt").write_text("\n".join(sorted(urls)), encoding="utf-8")


@pytest.fixture
def page(chromium, ui, blocked_urls, output, request):
    """A page in a new browser profile. The test ends with a screenshot."""
    context = chromium.new_context(
        base_url=ui.url, viewport={"width": 1280, "height": 800}, locale="en-US", timezone_id="UTC"
    )
    context.set_default_timeout(APPEAR_TIMEOUT_SECONDS * 1000)
    context.route(_is_other_host, lambda route: (blocked_urls.add(route.request.url), route.abort()))
    page = context.new_page()
    yield page
    # without animations: a screenshot during a fade shows a state that users do not see
    page.screenshot(path=output / f"{request.node.name.removeprefix('test_')}.png", animations="disabled")
    context.close()


def _is_other_host(url):
    return urlsplit(url).hostname not in {"127.0.0.1", None}
