"""What killed pulls left on a machine with a bucket: it is removed where pulls run, once no pull can use it."""

import os
import shutil
import time
from datetime import date

import pytest

from lms_pipeline.lake.abandoned import SECONDS_BETWEEN, remove_abandoned
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket

ACME = Partition("acme", date(2026, 3, 1))
HOURS = 3_600
NAMES = (
    "snapshot_date=2026-03-01.sqlite",
    "snapshot_date=2026-03-01.sqlite-wal",
    "snapshot_date=2026-03-01.sqlite.stored",
)


@pytest.fixture
def data(tmp_path):
    return open_in_bucket(tmp_path / "scratch", FolderBucket(tmp_path / "scratch", tmp_path / "bucket"))


def leave(data, hours):
    """Leave files of a killed pull, the newest of this age; return their paths."""
    files = [data.checkpoints / "account_id=acme" / name for name in NAMES]
    pull = data.pull_folder(ACME)
    pull.mkdir(parents=True)
    files[0].parent.mkdir(parents=True)
    for path in files:
        path.write_text("x")
    now = time.time()
    for age, path in zip((99, 98, hours, 97), (*files, pull), strict=True):
        os.utime(path, (now - age * HOURS,) * 2)
    return [*files, pull]


def find_left(paths):
    return [path for path in paths if path.exists()]


def test_old_ones_are_removed_with_their_folders(data):
    left = leave(data, 49)
    remove_abandoned(data)
    assert find_left(left) == []
    assert list(data.checkpoints.iterdir()) == []


def test_those_of_a_pull_with_a_newer_file_stay(data):
    left = leave(data, 47)
    remove_abandoned(data)
    assert find_left(left) == left


def test_those_of_a_pull_at_work_stay(data):
    left = leave(data, 49)
    with partition_lock(data, ACME):
        os.utime(data.pull_folder(ACME), (0, 0))
        remove_abandoned(data)
        assert find_left(left) == left


def test_those_of_a_disk_stay(tmp_path):
    data = DataDir(tmp_path)
    left = leave(data, 49)
    remove_abandoned(data)
    assert find_left(left) == left


@pytest.mark.parametrize(("seconds", "is_removed"), [(SECONDS_BETWEEN - 1, False), (SECONDS_BETWEEN, True)])
def test_a_process_looks_again_after_an_hour(data, monkeypatch, seconds, is_removed):
    monkeypatch.setattr("lms_pipeline.lake.abandoned.time.monotonic", lambda: 1e6)
    remove_abandoned(data)
    left = leave(data, 49)
    monkeypatch.setattr("lms_pipeline.lake.abandoned.time.monotonic", lambda: 1e6 + seconds)
    remove_abandoned(data)
    assert (find_left(left) == []) == is_removed


def test_what_can_not_be_removed_is_logged(data, caplog):
    leave(data, 49)
    shutil.rmtree(data.pulls)
    data.pulls.write_text("no folder")
    remove_abandoned(data)
    assert "What an earlier pull of acme on 2026-03-01 left here stays for now: " in caplog.text
