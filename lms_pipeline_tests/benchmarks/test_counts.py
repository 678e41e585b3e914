"""What a pull costs in things that can be counted: they are the same in every run, so they need no benchmark."""

import re
from pathlib import Path

import dagster as dg
import httpx
import pytest

from benchmarks.sides.package import DAY, open_package
from benchmarks.sides.transform import add_undocumented_keys
from benchmarks.world.pages import World
from benchmarks.world.server import TOKEN, serve_world

ROWS = 2_000
MAX_LAKE_BYTES, MAX_STATE_BYTES = 160, 140
"""Per enrollment with 950 bytes of JSON: the five published tables, and the stored responses with all other files."""
MAX_EVENTS, MAX_EVENT_BYTES = 120, 240_000
"""Of a daily job of eleven tables in Dagster's log."""


@pytest.fixture(scope="module")
def url(world):
    with serve_world(world) as url:
        yield url


@pytest.fixture
def package(tmp_path, url):
    return open_package(tmp_path / "data", url)


def read_counts(url):
    return httpx.get(f"{url}/benchmark/counts", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False).json()


def measure_bytes(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def test_a_pull_makes_one_request_per_page(package, url):
    before = read_counts(url)
    counts = package.prepare_pull("acc-2000")()
    after = read_counts(url)
    assert counts == {"rows": ROWS, "requests": 1 + 4 + 1 + 1}  # the metadata, and the pages of three lists
    assert after["requests"] - before["requests"] == 7
    assert after["connections"] - before["connections"] == 1 + 1  # and that of `read_counts`


def test_a_pull_writes_a_bounded_number_of_bytes(package):
    package.prepare_pull("acc-2000")()
    lake = measure_bytes(package.folder / "lake")
    assert lake / ROWS < MAX_LAKE_BYTES
    # the index does not grow with the rows; its write-ahead log is there while this process has it open
    index = sum(path.stat().st_size for path in (package.folder / "state").glob("index.sqlite*"))
    assert (measure_bytes(package.folder) - lake - index) / ROWS < MAX_STATE_BYTES
    assert index < 250_000


@pytest.mark.parametrize("change", [bytes, add_undocumented_keys])
def test_no_record_of_the_documented_shape_is_read_leniently(package, world, change):
    bodies = map(change, World(world).read_bodies("enrollments_with_raw", ROWS))
    counts = package.prepare_transform()(list(bodies))
    assert counts == {"rows": ROWS, "raw_rows": ROWS, "read_leniently": 0}


def test_a_daily_job_stores_a_bounded_number_of_events(package, make_home):
    make_home(package.folder / "dagster")
    with package.open_dagster() as run:
        run("acc-2000")
        with dg.DagsterInstance.get() as instance:
            (record,) = instance.get_run_records()
            events = instance.all_logs(record.dagster_run.run_id)
    assert len(events) < MAX_EVENTS
    assert sum(len(dg.serialize_value(event)) for event in events) < MAX_EVENT_BYTES


def count_read_files(relation):
    plan = relation.explain("analyze")
    return sum(map(int, re.findall(r"Total Files Read: (\d+)", plan)))


def test_a_view_opens_only_the_files_of_the_day_that_it_is_filtered_to(package):
    for account in ("acc-2000-a", "acc-2000-b", "acc-2000-c"):
        package.prepare_pull(account)()
    package.prepare_warehouse()()
    with package.open_warehouse() as warehouse:
        view = warehouse.view("unified_enrollments").select("account_id", "snapshot_date", "status")
        one_day = view.filter(f"account_id = 'acc-2000-b' AND snapshot_date = DATE '{DAY}'")
        assert (count_read_files(one_day), count_read_files(view)) == (1, 3)
