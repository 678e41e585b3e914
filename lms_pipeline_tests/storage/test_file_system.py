"""Stored files as a file system: what DuckDB and Arrow read of them, by how many requests."""

import io

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FSSpecHandler, PyFileSystem

from lms_pipeline.storage.file_system import StoredFileSystem, reading_files
from lms_pipeline.storage.store import StoreError
from lms_pipeline_tests.support.bucket import FolderBucket

KEYS = [f"lake_by_day/courses/snapshot_date=2026-03-0{day}/data.parquet" for day in (1, 2, 3)]
PATTERN = "s3://bucket/lake_by_day/courses/*/data.parquet"


@pytest.fixture
def bucket(tmp_path):
    """A Parquet file of each day, with the numbers 0 to 2, 10 to 12 and 20 to 22."""
    bucket = FolderBucket(tmp_path / "scratch", tmp_path / "bucket")
    for key, first in zip(KEYS, (0, 10, 20), strict=True):
        store(bucket, key, pa.table({"n": [first, first + 1, first + 2]}))
    bucket.requests.clear()
    return bucket


def store(bucket, key, table):
    path = bucket._scratch / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    bucket.send(path, key)
    path.unlink()


@pytest.fixture
def connection(bucket):
    with duckdb.connect() as connection, reading_files(connection, StoredFileSystem(bucket)):
        yield connection


def test_duckdb_reads_all_files_of_a_pattern_with_the_values_of_their_folders(connection):
    rows = (
        connection.read_parquet(PATTERN, hive_partitioning=True)
        .aggregate("snapshot_date::VARCHAR AS day, sum(n)")
        .order("day")
    )
    assert rows.fetchall() == [("2026-03-01", 3), ("2026-03-02", 33), ("2026-03-03", 63)]


def test_duckdb_reads_files_by_their_names(connection):
    assert len(connection.read_parquet([f"s3://bucket/{key}" for key in KEYS])) == 9


def test_a_pattern_is_listed_and_its_files_need_no_request_of_their_own(connection, bucket):
    connection.read_parquet(PATTERN).sum("n").fetchall()
    assert bucket.requests["HEAD"] == 0
    assert {key for method, key in bucket.log if method == "LIST"} == {"lake_by_day/courses/"}


def test_files_of_other_days_than_the_chosen_one_are_not_read(connection, bucket):
    connection.read_parquet(PATTERN, hive_partitioning=True).filter("snapshot_date = '2026-03-03'").fetchall()
    read = {key for method, key in bucket.log if method == "GET"}
    assert read == {KEYS[0], KEYS[2]}  # the first one has the columns


def test_no_copy_is_made(connection, bucket):
    connection.sql(f"FROM '{PATTERN}'").fetchall()
    assert not [path for path in bucket._scratch.rglob("*") if path.is_file()]


def test_a_file_that_does_not_exist_is_named(connection):
    with pytest.raises((duckdb.Error, FileNotFoundError), match="missing"):
        connection.sql("FROM 's3://bucket/missing.parquet'")


def test_a_file_that_was_replaced_is_read_by_the_next_query(connection, bucket):
    def count():
        return len(connection.read_parquet(f"s3://bucket/{KEYS[0]}"))

    assert count() == 3
    store(bucket, KEYS[0], pa.table({"n": [100] * 50}))
    with pytest.raises((duckdb.Error, StoreError)):
        count()
    assert count() == 50


def test_afterwards_the_connection_reads_no_such_addresses(bucket):
    with duckdb.connect() as connection:
        with reading_files(connection, StoredFileSystem(bucket)):
            assert connection.list_filesystems() == ["s3"]
        assert connection.list_filesystems() == []


def test_arrow_reads_chosen_rows(bucket):
    stored = PyFileSystem(FSSpecHandler(StoredFileSystem(bucket)))
    found = ds.dataset([f"s3://bucket/{key}" for key in KEYS], filesystem=stored, format="parquet")
    assert found.to_table(filter=ds.field("n") > 10).column("n").to_pylist() == [11, 12, 20, 21, 22]


@pytest.mark.parametrize(
    ("place", "whence", "size", "expected"),
    [
        (2, io.SEEK_SET, 3, b"234"),
        (-2, io.SEEK_END, 9, b"89"),
        (0, io.SEEK_END, 1, b""),
        (20, io.SEEK_SET, 1, b""),
        (7, io.SEEK_SET, -1, b"789"),
        (7, io.SEEK_SET, None, b"789"),
        (0, io.SEEK_SET, 0, b""),
    ],
)
def test_a_reader_returns_what_a_file_would(bucket, place, whence, size, expected):
    (bucket._scratch / "new").write_bytes(b"0123456789")
    bucket.send(bucket._scratch / "new", "digits")
    with StoredFileSystem(bucket).open("s3://bucket/digits") as file:
        file.seek(place, whence)
        assert file.read(size) == expected
