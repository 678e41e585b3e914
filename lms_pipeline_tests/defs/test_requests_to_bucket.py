"""How many requests to a bucket the run of an account and day sends, and a tick; and what Dagster shows of a bucket."""

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.run_requests import find_missing_snapshots
from lms_pipeline.lake import publishing
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY, open_installation
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket, wipe
from lms_pipeline_tests.support.lake_files import publish

TABLES = len(PULLED_TABLES) + len(METRIC_TABLES)


@pytest.fixture
def bucket(settings, tmp_path, monkeypatch):
    return open_bucket(settings, tmp_path, monkeypatch)


def open_bucket(settings, folder, monkeypatch):
    """Put the data directory in a bucket, whose objects are in the folder."""
    bucket = FolderBucket(settings.data_dir, folder / "objects")
    data = open_in_bucket(settings.data_dir, bucket)
    monkeypatch.setattr(DataDir, "open", lambda _settings: data)
    return bucket


@pytest.fixture
def stored(settings, bucket):
    """The data directory in the bucket."""
    return DataDir.open(settings)


def run(settings, instance, bucket, day):
    """Run an account and day on a machine without local copies, and return the requests by method."""
    wipe(settings.data_dir)
    bucket.requests.clear()
    bucket.log.clear()
    [outcome] = run_partitions(build_defs(settings, day), instance, [Partition("north", day)])
    assert outcome.error is None
    return Counter(bucket.requests)


class FirstDay(NamedTuple):
    """What the run of the first day left. Read-only, since tests share it."""

    folder: Path
    """Its data directory, its objects and Dagster's home."""
    requests: Counter[str]
    log: list[tuple[str, str]]


@pytest.fixture(scope="module")
def first_day(tmp_path_factory, make_home):
    folder = tmp_path_factory.mktemp("bucket")
    with open_installation(folder, make_home) as (_, settings, instance), pytest.MonkeyPatch.context() as patch:
        bucket = open_bucket(settings, folder, patch)
        return FirstDay(folder, run(settings, instance, bucket, DAY), list(bucket.log))


@pytest.fixture
def after_first_day(first_day, settings, tmp_path):
    """A copy of what the run of the first day left, before the instance and the bucket are opened."""
    for name in ("data", "objects", "dagster"):
        shutil.copytree(first_day.folder / name, tmp_path / name)


def test_of_the_first_day_are_few(first_day):
    found = Counter(first_day.requests)
    assert found.pop("PUT") == TABLES + 2  # the responses are stored before the tables, and at the end
    assert found.pop("HEAD") <= 3 * TABLES + 3
    assert found.pop("GET") + found.pop("LIST") <= 18
    assert found == {}


@pytest.mark.usefixtures("after_first_day")
def test_of_a_later_day_are_few(settings, instance, bucket, tmp_path):
    earlier = f"snapshot_date={DAY - timedelta(days=20)}"
    for folder in list((tmp_path / "objects/lake").glob("*/*/snapshot_date=*")):
        folder.rename(folder.with_name(earlier))
    found = run(settings, instance, bucket, DAY)
    assert found.pop("PUT") == TABLES + 2
    assert found.pop("HEAD") <= 5 * TABLES + 2  # also of the files whose sizes say how much space a pull needs
    assert found.pop("GET") + found.pop("LIST") <= 20
    assert found == {}


def test_that_fetch_a_table_are_one_for_each_step(first_day):
    fetched = Counter(key.split("/")[1] for method, key in first_day.log if method == "GET" and key.startswith("lake/"))
    # the pull, the end of the file for the index, and the metrics
    assert fetched == {**dict.fromkeys((table.name for table in PULLED_TABLES), 1), UNIFIED_ENROLLMENTS.name: 3}


def test_of_a_tick_are_none(stored, bucket):
    publish(stored, "north", DAY)
    read_index(stored, lambda index: index.find())  # which is built
    bucket.requests.clear()
    assert find_missing_snapshots(stored, DAY, ["north", "south"]) == [Partition("south", DAY)]
    assert bucket.requests == {}


def test_of_a_tick_look_for_what_a_dead_run_published(stored, bucket, monkeypatch):
    read_index(stored, lambda index: index.find())
    monkeypatch.setattr(publishing, "finish_changes", lambda *_: None)
    publish(stored, "north", DAY)
    bucket.requests.clear()
    assert find_missing_snapshots(stored, DAY, ["north", "south"]) == [Partition("south", DAY)]
    assert bucket.requests == {"HEAD": 1}


def test_of_a_tick_are_one_for_each_account_before_the_index_is_built(stored, bucket):
    publish(stored, "north", DAY)
    bucket.requests.clear()
    assert find_missing_snapshots(stored, DAY, ["north", "south"]) == [Partition("south", DAY)]
    assert bucket.requests == {"HEAD": 2}


@pytest.mark.usefixtures("after_first_day")
def test_files_without_an_event_are_reported_from_the_bucket(stored, new_instance):
    wipe(stored.root)
    missing = find_missing_events(new_instance, stored)
    assert report_events(new_instance, stored, missing, min_cohort=2) == TABLES
    key = dg.AssetKey(UNIFIED_ENROLLMENTS.name)
    [record] = new_instance.fetch_materializations(key, limit=1).records
    path = stored.file(UNIFIED_ENROLLMENTS, Partition("north", DAY))
    assert record.asset_materialization.metadata["path"].value == f"s3://bucket/{stored.get_key(path)}"
    assert record.timestamp == stored.store.find(stored.get_key(path)).changed_ns / 1e9
