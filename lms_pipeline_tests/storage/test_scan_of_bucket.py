"""What a bucket lists: the same partitions and days as the folders of a disk, whatever the local copies are."""

import shutil
from datetime import date
from threading import Barrier

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import index_sync
from lms_pipeline.lake.index_sync import finish_changes, read_index, rebuild_index
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.scan import scan_lake
from lms_pipeline.lake.stored_footers import read_stored_footer
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, enrollment, publish, publish_all_accounts

ACME, BETA = Partition("acme", FIRST), Partition("a-b", SECOND)


@pytest.fixture
def bucket(tmp_path):
    return FolderBucket(tmp_path / "scratch", tmp_path / "bucket")


@pytest.fixture(params=["disk", "bucket"])
def data(request, tmp_path, bucket):
    """A lake of two accounts and a day over all, on a disk; or in a bucket of which this machine has no copy yet."""
    disk = DataDir(tmp_path / "scratch")
    publish(disk, "acme", FIRST, enrollment("u1"))
    publish(disk, "acme", THIRD, enrollment("u1"))
    publish(disk, "acme", FIRST, {"payload": "{}"}, table=RAW_ENROLLMENTS)
    publish(disk, "a-b", SECOND, enrollment("u1"), enrollment("u2"))
    publish_all_accounts(disk, FIRST, {})
    if request.param == "disk":
        return disk
    shutil.move(disk.root / "lake", tmp_path / "bucket/lake")
    shutil.rmtree(disk.state)
    return open_in_bucket(disk.root, bucket)


class TestFinders:
    def test_of_accounts(self, data):
        assert data.list_account_ids() == ["a-b", "acme"]

    def test_of_partitions_are_in_the_order_of_account_and_day(self, data):
        assert list(data.find_partitions(UNIFIED_ENROLLMENTS)) == [BETA, ACME, Partition("acme", THIRD)]

    def test_of_one_account_leave_out_one_whose_id_begins_the_same(self, data):
        assert list(data.find_partitions(UNIFIED_ENROLLMENTS, "a")) == []

    def test_of_days_over_all_accounts(self, data):
        assert list(data.find_any_partitions(PORTFOLIO_COMPLETION)) == [DayPartition(FIRST)]

    @pytest.mark.parametrize(
        ("before", "found"), [(date.max, THIRD), (THIRD, FIRST), (SECOND, FIRST), (FIRST, None)], ids=str
    )
    def test_of_the_latest_snapshot(self, data, before, found):
        latest = data.find_latest_snapshot("acme", before=before)
        assert (latest.day if latest else None) == found

    def test_of_one_file(self, data):
        assert data.is_published(RAW_ENROLLMENTS, ACME)
        assert not data.is_published(RAW_ENROLLMENTS, BETA)

    def test_see_what_is_fetched(self, data):
        data.fetch(TABLES.values(), [ACME, DayPartition(FIRST)])
        files = [(UNIFIED_ENROLLMENTS, ACME), (RAW_ENROLLMENTS, ACME), (PORTFOLIO_COMPLETION, DayPartition(FIRST))]
        assert all(data.file(table, partition).is_file() for table, partition in files)


class TestIndex:
    def test_that_is_new_has_all_that_is_stored(self, data):
        found = read_index(data, lambda index: index.find())
        assert [(day.partition, day.schema_version) for day in found] == [
            (DayPartition(FIRST), None),
            (BETA, SCHEMA_VERSION),
            (ACME, SCHEMA_VERSION),
            (Partition("acme", THIRD), SCHEMA_VERSION),
        ]
        assert {day.partition.folder.as_posix(): day.signatures for day in found} == {
            folder: bytes(files.signatures) for folder, files in scan_lake(data).items()
        }

    def test_is_built_again_from_what_is_stored(self, data):
        assert rebuild_index(data) == 4


class TestIndexOfBucket:
    @pytest.fixture(params=["bucket"])
    def data(self, data):
        return data

    def test_is_read_without_a_request(self, data, bucket):
        read_index(data, lambda index: index.find())
        bucket.requests.clear()
        read_index(data, lambda index: index.find())
        assert bucket.requests == {}

    def test_requests_only_the_tables_of_a_publication(self, data, bucket):
        read_index(data, lambda index: index.find())
        bucket.requests.clear()
        finish_changes(data, ACME, "run", [ACCOUNT_COMPLETION])
        assert bucket.requests == {"HEAD": 1}
        [day] = read_index(data, lambda index: index.find(account_id="acme", day=FIRST))
        assert day.has_file(UNIFIED_ENROLLMENTS.name)

    def test_looks_at_the_partition_of_a_dead_run(self, data, bucket):
        index_sync.begin_changes(data, ACME, "dead")
        read_index(data, lambda index: index.find())
        bucket.remove(data.get_key(data.file(UNIFIED_ENROLLMENTS, ACME)))
        [day] = read_index(data, lambda index: index.find(account_id="acme", day=FIRST))
        assert not day.has_file(UNIFIED_ENROLLMENTS.name)

    def test_has_no_schema_version_of_a_damaged_file_which_is_named_by_its_address(self, data, tmp_path):
        key = data.get_key(data.file(UNIFIED_ENROLLMENTS, ACME))
        (tmp_path / "bucket" / key).write_bytes(b"no Parquet")
        [day] = read_index(data, lambda index: index.find(account_id="acme", day=FIRST))
        assert day.has_file(UNIFIED_ENROLLMENTS.name)
        assert day.schema_version is None
        with pytest.raises(LakeError, match=rf"^s3://bucket/{key} is damaged: "):
            read_stored_footer(data.store, key)

    def test_is_built_from_listings_and_footers(self, data, bucket):
        rebuild_index(data)
        accounts, tables_with_files = 2, 3
        of_all = 1
        assert bucket.requests == {
            "GET": 3,  # the footers of the enrollments
            "LIST": 1 + tables_with_files + accounts * (len(TABLES) - of_all) + of_all,
        }

    def test_is_built_from_many_footers_at_a_time(self, data, bucket, monkeypatch):
        read_range, all_three = bucket.read_range, Barrier(3, timeout=30)

        def wait_for_others(*arguments):
            all_three.wait()
            return read_range(*arguments)

        monkeypatch.setattr(bucket, "read_range", wait_for_others)
        assert rebuild_index(data) == 4

    def test_is_built_with_a_file_that_is_replaced_after_the_listing(self, data, bucket, monkeypatch, tmp_path):
        list_files, key = bucket.list_files, data.get_key(data.file(UNIFIED_ENROLLMENTS, BETA))
        other = tmp_path / "bucket" / data.get_key(data.file(UNIFIED_ENROLLMENTS, ACME))

        def replace_afterwards(prefix):
            yield from list(list_files(prefix))
            if key.startswith(prefix):
                shutil.copy(other, tmp_path / "bucket" / key)

        monkeypatch.setattr(bucket, "list_files", replace_afterwards)
        rebuild_index(data)
        [day] = read_index(data, lambda index: index.find(account_id="a-b"))
        assert day.get_signature(UNIFIED_ENROLLMENTS.name) == bucket.find(key).signature
        assert day.schema_version == SCHEMA_VERSION
