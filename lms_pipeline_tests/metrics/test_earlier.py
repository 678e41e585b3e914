"""Which earlier snapshot open enrollments are compared with, and that the file of `attention` says so."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from lms_pipeline.days import Calendar
from lms_pipeline.lake.files import TableFile, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.metrics.earlier import EarlierSnapshot, find_earlier
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket, wipe
from lms_pipeline_tests.support.damages import damage_pages
from lms_pipeline_tests.support.lake_files import PROVENANCE, batch, enrollment

TODAY = date(2026, 3, 31)
ACME = Partition("acme", TODAY)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def pull(data, days_ago, *, account="acme", complete="true", **more):
    """Publish a snapshot of one enrollment, so many days ago, and return its path."""
    path = data.file(UNIFIED_ENROLLMENTS, Partition(account, TODAY - timedelta(days=days_ago)))
    row = enrollment("u1", status="in_progress", enrolled_at=BEGAN, progress_percent=50.0, **more)
    with TableFile(UNIFIED_ENROLLMENTS, path) as file:
        file.write(batch(UNIFIED_ENROLLMENTS, row))
        file.close(PROVENANCE | {"complete": complete})
    return path


@pytest.mark.parametrize(
    ("days_ago", "found"),
    [([1, 13], None), ([14], 14), ([13, 15, 20], 15), ([], None)],
    ids=["all too young", "just old enough", "the latest old enough", "none"],
)
def test_it_is_the_latest_that_is_at_least_14_days_older(data, days_ago, found):
    for days in days_ago:
        pull(data, days)
    earlier = find_earlier(data, ACME)
    assert (earlier and (TODAY - earlier.day).days) == found


def test_an_incomplete_snapshot_is_left_out(data):
    pull(data, 15, complete="false")
    path = pull(data, 20)
    assert find_earlier(data, ACME) == EarlierSnapshot(path, TODAY - timedelta(days=20))


def test_a_damaged_snapshot_is_logged_and_left_out(data, caplog):
    damage_pages(pull(data, 15))
    path = pull(data, 20)
    with caplog.at_level(logging.WARNING):
        assert find_earlier(data, ACME) == EarlierSnapshot(path, TODAY - timedelta(days=20))
    [record] = caplog.records
    assert record.getMessage().endswith("Open enrollments are not compared with it.")


def test_a_damaged_snapshot_without_a_checksum_is_left_out(data):
    path = pull(data, 15)
    kept = {name: value for name, value in pq.read_metadata(path).metadata.items() if name.startswith(b"lms_pipeline.")}
    del kept[b"lms_pipeline.checksum"]
    pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata(kept), path)
    damage_pages(path)
    assert find_earlier(data, ACME) is None


def test_it_is_of_the_same_account(data):
    pull(data, 15, account="other")
    assert find_earlier(data, ACME) is None


def test_the_file_names_the_day_that_it_is_compared_with(data):
    pull(data, 15)
    pull(data, 0)
    [published] = publish_metrics(
        data, [ATTENTION], ACME, Calendar(ZoneInfo("UTC")), integration="records", run_id="run-9"
    )
    metadata = read_metadata(published.path)
    assert (metadata["compared_with"], metadata["idle_unknown"]) == ("2026-03-16", "0")
    [row] = pq.ParquetFile(published.path).read().to_pylist()
    assert (row["reasons"], row["days"]) == ("idle", 15)


def test_of_those_in_a_bucket_only_the_one_that_is_compared_is_fetched(tmp_path):
    data = open_in_bucket(tmp_path / "machine", FolderBucket(tmp_path / "machine", tmp_path / "bucket"))
    for days_ago, complete in ((25, "true"), (20, "true"), (16, "false"), (15, "false")):
        path = pull(data, days_ago, complete=complete)
        data.store.send(path, data.get_key(path))
    wipe(data.root)
    earlier = find_earlier(data, ACME)
    assert earlier is not None
    assert list(data.lake.rglob("*.parquet")) == [earlier.path]
    assert earlier.day == TODAY - timedelta(days=20)
