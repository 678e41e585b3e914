"""The warehouse over a bucket: built on one machine, read on another that has no file of the lake."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings

from lms_pipeline.defs.resources import Warehouse
from lms_pipeline.errors import LakeError
from lms_pipeline.lake import warehouse_days, warehouse_views
from lms_pipeline.lake.index_sync import begin_changes
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.lake.stored_footers import read_stored_footer
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse, read_left_out
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.generated_lakes import lakes, publish_lake
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    PROVENANCE,
    SECOND,
    THIRD,
    enrollment,
    publish,
    publish_each_table,
    publish_small_lake,
    write,
)
from lms_pipeline_tests.support.parquet_damage import truncate
from lms_pipeline_tests.support.warehouse_builds import read_content


def open_machine(tmp_path, name):
    """Return the data directory of a machine; all have the same bucket."""
    return open_in_bucket(tmp_path / name, FolderBucket(tmp_path / name, tmp_path / "bucket"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folders of a bucket and of the machine that pulled, for copies: to publish a lake takes longer than most tests."""
    folder = tmp_path_factory.mktemp("published")
    publish_small_lake(open_machine(folder, "puller"))
    return folder


@pytest.fixture
def data(published, tmp_path):
    """The machine that pulls, and builds the warehouse."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return open_machine(tmp_path, "puller")


@pytest.fixture
def third(tmp_path):
    """A machine without a file."""
    return open_machine(tmp_path, "third")


def roll_up(data):
    for day in find_outdated_days(data):
        roll_up_day(data, day)


def build(data):
    roll_up(data)
    return build_warehouse(data)


def count_rows(data, table):
    with open_warehouse(data) as connection:
        return len(connection.table(table.name))


def read_on_disk(tmp_path, publish_all):
    """Return the content of a warehouse on a disk, over the same rows."""
    disk = DataDir(tmp_path / "disk")
    publish_all(disk)
    build_warehouse(disk, is_rolled_up=True)
    return read_content(disk)


def test_it_has_the_content_of_one_on_a_disk(data, third, tmp_path):
    build(data)
    assert read_content(third) == read_on_disk(tmp_path, publish_small_lake)


def test_it_has_the_content_of_one_on_a_disk_without_roll_ups(data, third, tmp_path):
    build_warehouse(data)
    assert read_content(third) == read_on_disk(tmp_path, publish_small_lake)


def test_it_has_the_content_of_one_on_a_disk_after_changes(data, third, tmp_path):
    def change(data):
        publish_each_table(data, "acme", THIRD)
        publish(data, "beta", SECOND, enrollment("u9"))
        publish(data, "acme", THIRD, table=LEARNER_COMPLETION)  # no learner is left on the latest day

    build(data)
    change(data)
    build(data)
    assert read_content(third) == read_on_disk(tmp_path, lambda disk: change(publish_small_lake(disk)))


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_it_works_in_the_bucket_of_any_cloud(scheme, data, third, monkeypatch):
    monkeypatch.setattr(FolderBucket, "describe", lambda _, key: f"{scheme}://bucket/a b/{key}")
    build(data)
    assert count_rows(third, COURSE_COMPLETION) == 5
    assert count_rows(third, RAW_ENROLLMENTS) == 5


def test_the_resource_reads_it(data, third):
    build(data)
    with Warehouse(database="unused", lake=third).get_connection() as connection:
        assert len(connection.table("course_completion")) == 5


def test_an_empty_lake_has_every_table(tmp_path, third):
    build(open_machine(tmp_path, "puller"))
    with open_warehouse(third) as connection:
        assert {name for name in TABLES if len(connection.table(name)) == 0} == set(TABLES)


@settings(max_examples=8, deadline=None)
@given(lakes())
def test_it_has_the_rows_of_the_accounts(lake):
    with TemporaryDirectory() as folder:
        publisher, reader = (open_machine(Path(folder), name) for name in ("puller", "third"))
        publish_lake(publisher, lake)
        build(publisher)
        with open_warehouse(reader) as connection:
            enrollments = connection.table("unified_enrollments").project("account_id, snapshot_date, user_name, score")
            courses = connection.table("course_completion").project("account_id, snapshot_date, course_id")
            found = [sorted(map(repr, rows.fetchall())) for rows in (enrollments, courses)]
    assert found == [
        sorted(repr((*key, name, score)) for key, (rows, _) in lake.items() for name, score in rows or ()),
        sorted(repr((*key, f"c{n}")) for key, (_, count) in lake.items() for n in range(count or 0)),
    ]


def test_a_reader_fetches_only_the_warehouse(data, third):
    build(data)
    read_content(third)
    assert [path for path in third.root.rglob("*") if path.is_file()] == [third.warehouse]


def test_a_build_reads_no_roll_up(data):
    roll_up(data)
    data.store.log.clear()
    build_warehouse(data)
    assert not [key for method, key in data.store.log if method == "GET" and key.startswith("lake_by_day/")]


def test_a_day_that_is_rolled_up_later_is_shown_without_a_build(data, third):
    build(data)
    publish_each_table(data, "acme", THIRD)
    roll_up(data)
    assert count_rows(third, COURSE_COMPLETION) == 6


def test_a_day_that_was_rolled_up_again_is_shown_as_it_is_now(data, third):
    build(data)
    publish(data, "beta", SECOND, {"course_id": "c1"}, {"course_id": "c2"}, table=COURSE_COMPLETION)
    build(data)
    assert count_rows(third, COURSE_COMPLETION) == 6


def test_only_a_day_that_changed_is_rolled_up_again(data):
    build(data)
    publish(data, "beta", SECOND, {"course_id": "c1"}, {"course_id": "c2"}, table=COURSE_COMPLETION)
    assert find_outdated_days(data) == [SECOND]
    assert roll_up_day(data, SECOND).written == [COURSE_COMPLETION.name]
    assert find_outdated_days(data) == []


def test_copies_that_other_runs_of_the_machine_read_stay(data):
    path = data.file(COURSE_COMPLETION, Partition("acme", SECOND))
    data.fetch([COURSE_COMPLETION], [Partition("acme", SECOND)])
    roll_up_day(data, SECOND)
    assert path.exists()


def test_a_roll_up_leaves_no_copies_on_the_machine(data, tmp_path):
    other = open_machine(tmp_path, "other")
    roll_up_day(other, SECOND)
    assert [path for path in other.root.rglob("*.parquet*") if path.is_file()] == []


def test_a_file_of_an_unfinished_pull_is_not_shown(data, third):
    path = data.file(RAW_ENROLLMENTS, Partition("acme", FIRST))
    begin_changes(data, Partition("acme", FIRST), "a run that died")
    write(path, RAW_ENROLLMENTS, {"payload": "{}"}, {"payload": "[]"}, metadata={**PROVENANCE, "run_id": "run-2"})
    data.store.send(path, data.get_key(path))
    build(data)
    assert count_rows(third, RAW_ENROLLMENTS) == 4


def test_a_damaged_file_of_an_account_is_left_out_and_named(data, third):
    path = data.file(LEARNER_COMPLETION, Partition("acme", SECOND))
    truncate(path)
    data.store.send(path, data.get_key(path))
    [sentence] = build(data).left_out
    assert data.describe(path) in sentence
    assert read_left_out(data) == [sentence]
    with open_warehouse(third) as connection:
        rows = connection.sql("SELECT account_id, snapshot_date FROM learner_completion ORDER BY ALL").fetchall()
    assert rows == [("acme", FIRST), ("beta", SECOND), ("gamma", FIRST)]


def test_a_damaged_sample_of_the_raw_records_costs_no_request_for_those_of_other_days(data, third):
    roll_up(data)
    path = min((data.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))
    truncate(path)
    data.store.send(path, data.get_key(path))
    data.store.log.clear()
    [sentence] = build_warehouse(data).left_out
    assert data.describe(path) in sentence
    assert len([key for method, key in data.store.log if method == "GET" and "raw_enrollments" in key]) == 2
    assert count_rows(third, RAW_ENROLLMENTS) == 4


def test_days_without_a_current_roll_up_are_shown_and_not_fetched(data, third):
    roll_up(data)  # which the index of the third machine does not know
    build_warehouse(third)
    fetched = {path.relative_to(third.lake).parts[0] for path in third.lake.rglob("*.parquet")}
    assert fetched == {RAW_ENROLLMENTS.name, PORTFOLIO_COMPLETION.name}  # their samples
    assert count_rows(data, COURSE_COMPLETION) == 5


def test_a_file_that_is_replaced_while_its_end_is_read_is_read_again(data, third, monkeypatch):
    roll_up(data)  # which the index of the third machine does not know
    read, failures = read_stored_footer, iter([StoreError("It was replaced.")])

    def read_or_fail(store, key):
        for failure in failures:
            raise failure
        return read(store, key)

    monkeypatch.setattr(warehouse_days, "read_stored_footer", read_or_fail)
    build_warehouse(third)
    assert count_rows(data, COURSE_COMPLETION) == 5


def test_if_all_samples_are_damaged_only_they_are_fetched(data, third, monkeypatch):
    roll_up(data)
    monkeypatch.setattr(warehouse_views, "MAX_SAMPLES", 1)
    paths = sorted((data.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))
    for path in (paths[0], paths[2]):
        truncate(path)
        data.store.send(path, data.get_key(path))
    assert len(build_warehouse(third).left_out) == 2
    assert count_rows(data, RAW_ENROLLMENTS) == 3
    assert len(list((third.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))) <= 2


def test_all_days_of_the_portfolio_are_fetched_at_once(data, monkeypatch):
    roll_up(data)
    fetched, fetch = [], data.store.fetch

    def record(keys):
        fetched.append(sorted(keys))
        fetch(fetched[-1])

    monkeypatch.setattr(data.store, "fetch", record)
    build_warehouse(data)
    days = [data.get_key(data.file(PORTFOLIO_COMPLETION, DayPartition(day))) for day in (FIRST, SECOND)]
    assert [keys for keys in fetched if set(keys) & set(days)] == [days]


def test_without_a_warehouse_the_error_names_its_address(third):
    with pytest.raises(LakeError, match=r"^There is no warehouse at s3://bucket/warehouse/lms\.duckdb yet"):
        count_rows(third, COURSE_COMPLETION)


def test_a_warehouse_of_another_bucket_is_refused(data, third, monkeypatch):
    build(data)
    monkeypatch.setattr(FolderBucket, "describe", lambda _, key: f"s3://other/{key}")
    with pytest.raises(LakeError, match=r"^s3://other/warehouse/lms\.duckdb was built for another folder"):
        count_rows(third, COURSE_COMPLETION)


def test_a_failure_of_the_bucket_is_one_sentence(data, third, monkeypatch):
    build(data)

    def fail(*_):
        raise StoreError("s3://bucket/x can't be read: the store can't be reached; try again later.")

    monkeypatch.setattr(third.store, "read_range", fail)
    with pytest.raises(StoreError, match=r"^s3://bucket/x can't be read: .*; try again later\.$"):
        count_rows(third, COURSE_COMPLETION)


def test_a_roll_up_that_was_removed_is_named(data, third):
    build(data)
    third.store.remove(third.get_key(third.roll_up(LEARNER_COMPLETION, SECOND)))
    with pytest.raises(StoreError, match=r"^s3://bucket/lake_by_day/learner_completion/.* is not there"):
        count_rows(third, LEARNER_COMPLETION)


def test_a_wrong_query_is_an_error_of_duckdb(data, third):
    build(data)
    with pytest.raises(duckdb.BinderException), open_warehouse(third) as connection:
        connection.sql("SELECT nothing FROM course_completion")
