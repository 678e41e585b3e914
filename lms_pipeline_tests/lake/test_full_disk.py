"""Metrics and the warehouse on a disk that is full: one sentence, and everything stays as it was."""

import os
import shutil
from contextlib import suppress

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.housekeeping.cleanup import find_expired, remove
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.lake import index_file
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish
from lms_pipeline_tests.support.snapshot_runs import CALENDAR

ACME = Partition("acme", FIRST)


def fill(folder, left):
    """Fill the disk of a folder, but for `left` bytes."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(4_096))
        file.truncate(path.stat().st_size - left)


def list_files(data):
    """Return all files but those of the index, which are made again."""
    found = (path for path in data.root.rglob("*") if path.is_file() and not path.name.startswith("index"))
    return sorted((path, path.stat().st_size) for path in found)


def compute_metrics(data):
    return list(publish_metrics(data, METRIC_TABLES, ACME, CALENDAR, integration="otherlms", run_id="run-2"))


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A day with its metrics, for copies."""
    data = DataDir(tmp_path_factory.mktemp("computed"))
    publish(data, "acme", FIRST, enrollment("u1", status="enrolled"))
    compute_metrics(data)
    return data.root


@pytest.fixture
def data(computed, small_disk):
    data = DataDir(shutil.copytree(computed, small_disk / "data"))
    build_warehouse(data)
    yield data
    index_file._close_idle()  # an open index keeps the disk busy


@pytest.mark.parametrize("left", [0, 4_096, 50_000, 300_000])
def test_a_warehouse_that_can_not_be_written_leaves_the_old_one(data, small_disk, left):
    fill(small_disk, left)
    before = list_files(data)
    with pytest.raises(LakeError) as caught:
        build_warehouse(data)
    assert str(caught.value) == (
        f"The warehouse can't be built, and the old one stays: the disk of {data.state / 'warehouse'} is full; free some space "
        "and run it again."
    )
    assert list_files(data) == before
    with open_warehouse(data) as connection:
        assert len(connection.table("learner_completion")) == 1


def test_metrics_that_can_not_be_written_leave_the_old_ones(data, small_disk):
    fill(small_disk, 0)
    before = list_files(data)
    with pytest.raises(LakeError, match=r"can't be written: the disk is full; free some space and run it again\.$"):
        compute_metrics(data)
    assert list_files(data) == before


def test_what_killed_runs_left_is_found_and_removed_although_the_index_can_not_be_used(data, small_disk, caplog):
    left = data.unpublished_file(UNIFIED_ENROLLMENTS, ACME, "run-9")
    left.write_bytes(bytes(50_000))
    os.utime(left, (0, 0))
    fill(small_disk, 0)
    expired = find_expired(data, RetentionPolicy(today=ACME.day, rejected_days=1))
    assert left in {item.path for item in remove(data, expired)}
    assert not left.exists()
    assert "The whole lake is listed" in caplog.text
