"""The warehouse over a bucket: built on one machine, read on another that has no file of the lake."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings

from lms_pipeline.defs.resources import Warehouse
from lms_pipeline.errors import LakeError
from lms_pipeline.lake import warehouse_build, warehouse_days, warehouse_views
from lms_pipeline.lake.index_sync import begin_changes
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.lake.stored_footers import read_stored_footer
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse, read_left_out
from lms_pipeline.lake.warehouse_sql import iter_comments
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.full import choose
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
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments, read_content


def open_machine(tmp_path, name):
    """Return the data directory of a machine; all have the same bucket."""
    return open_in_bucket(tmp_path / name, FolderBucket(tmp_path / name, tmp_path / "bucket"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folders of a bucket and of the machine that pulled, for copies: to publish a lake takes longer than most tests."""
    folder = tmp_path_factory.mktemp("published")
    publish_small_lake(open_machine(folder, "puller"))
    return folder


@pytest.fixture(scope="module")
def rolled_up(published, tmp_path_factory):
    """The same with roll-ups."""
    folder = tmp_path_factory.mktemp("rolled up")
    roll_up(copy_puller(published, folder))
    return folder


@pytest.fixture(scope="module")
def with_warehouse(rolled_up, tmp_path_factory):
    """The same with roll-ups and a warehouse."""
    folder = tmp_path_factory.mktemp("with warehouse")
    build(copy_puller(rolled_up, folder))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _without_comments():
    """For rows and requests: one test compares the comments, too."""
    with leaving_out_comments():
        yield


def copy_puller(folders, tmp_path):
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    return open_machine(tmp_path, "puller")


@pytest.fixture
def data(published, tmp_path):
    """The machine that pulls, and builds the warehouse."""
    return copy_puller(published, tmp_path)


@pytest.fixture
def rolled(rolled_up, tmp_path):
    """This machine after it rolled up all days."""
    return copy_puller(rolled_up, tmp_path)


@pytest.fixture
def built(with_warehouse, tmp_path):
    """This machine after it rolled up all days and built the warehouse."""
    return copy_puller(with_warehouse, tmp_path)


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


@pytest.fixture
def disk(published, tmp_path):
    """The same lake on a disk."""
    shutil.copytree(published / "bucket", tmp_path / "disk")
    return DataDir(tmp_path / "disk")


def read_on_disk(disk):
    build_warehouse(disk, is_rolled_up=True)
    return read_content(disk)


def test_it_has_the_content_of_one_on_a_disk(rolled, third, disk, monkeypatch):
    monkeypatch.setattr(warehouse_build, "iter_comments", iter_comments)
    build(rolled)
    assert read_content(third) == read_on_disk(disk)


def test_it_has_the_content_of_one_on_a_disk_without_roll_ups(data, third, disk):
    build_warehouse(data)
    assert read_content(third) == read_on_disk(disk)


def test_it_has_the_content_of_one_on_a_disk_after_changes(built, third, disk):
    def change(data):
        publish_each_table(data, "acme", THIRD)
        publish(data, "beta", SECOND, enrollment("u9"))
        publish(data, "acme", THIRD, table=LEARNER_COMPLETION)  # no learner is left on the latest day

    change(built)
    build(built)
    change(disk)
    assert read_content(third) == read_on_disk(disk)


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_it_works_in_the_bucket_of_any_cloud(scheme, rolled, third, monkeypatch):
    monkeypatch.setattr(FolderBucket, "describe", lambda _, key: f"{scheme}://bucket/a b/{key}")
    build(rolled)
    assert count_rows(third, COURSE_COMPLETION) == 5
    assert count_rows(third, RAW_ENROLLMENTS) == 5


def test_the_resource_reads_it(built, third):
    with Warehouse(database="unused", lake=third).get_connection() as connection:
        assert len(connection.table("course_completion")) == 5


def test_an_empty_lake_has_every_table(tmp_path, third):
    build(open_machine(tmp_path, "puller"))
    with open_warehouse(third) as connection:
        assert {name for name in TABLES if len(connection.table(name)) == 0} == set(TABLES)


@settings(max_examples=choose(4, 8), deadline=None)
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


def test_a_reader_fetches_only_the_warehouse(built, third):
    read_content(third)
    assert [path for path in third.root.rglob("*") if path.is_file()] == [third.warehouse]


def test_a_build_reads_no_roll_up(rolled):
    roll_up(rolled)
    rolled.store.log.clear()
    build_warehouse(rolled)
    assert not [key for method, key in rolled.store.log if method == "GET" and key.startswith("lake_by_day/")]


def test_a_day_that_is_rolled_up_later_is_shown_without_a_build(built, third):
    publish_each_table(built, "acme", THIRD)
    roll_up(built)
    assert count_rows(third, COURSE_COMPLETION) == 6


def test_a_day_that_was_rolled_up_again_is_shown_as_it_is_now(built, third):
    publish(built, "beta", SECOND, {"course_id": "c1"}, {"course_id": "c2"}, table=COURSE_COMPLETION)
    build(built)
    assert count_rows(third, COURSE_COMPLETION) == 6


def test_only_a_day_that_changed_is_rolled_up_again(rolled):
    publish(rolled, "beta", SECOND, {"course_id": "c1"}, {"course_id": "c2"}, table=COURSE_COMPLETION)
    assert find_outdated_days(rolled) == [SECOND]
    assert roll_up_day(rolled, SECOND).written == [COURSE_COMPLETION.name]
    assert find_outdated_days(rolled) == []


def test_copies_that_other_runs_of_the_machine_read_stay(data):
    path = data.file(COURSE_COMPLETION, Partition("acme", SECOND))
    data.fetch([COURSE_COMPLETION], [Partition("acme", SECOND)])
    roll_up_day(data, SECOND)
    assert path.exists()


def test_a_roll_up_leaves_no_copies_on_the_machine(data, tmp_path):
    other = open_machine(tmp_path, "other")
    roll_up_day(other, SECOND)
    assert [path for path in other.root.rglob("*.parquet*") if path.is_file()] == []


def test_a_file_of_an_unfinished_pull_is_not_shown(rolled, third):
    path = rolled.file(RAW_ENROLLMENTS, Partition("acme", FIRST))
    begin_changes(rolled, Partition("acme", FIRST), "a run that died")
    write(path, RAW_ENROLLMENTS, {"payload": "{}"}, {"payload": "[]"}, metadata={**PROVENANCE, "run_id": "run-2"})
    rolled.store.send(path, rolled.get_key(path))
    build(rolled)
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


def test_a_damaged_sample_of_the_raw_records_costs_no_request_for_those_of_other_days(rolled, third):
    roll_up(rolled)
    path = min((rolled.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))
    truncate(path)
    rolled.store.send(path, rolled.get_key(path))
    rolled.store.log.clear()
    [sentence] = build_warehouse(rolled).left_out
    assert rolled.describe(path) in sentence
    assert len([key for method, key in rolled.store.log if method == "GET" and "raw_enrollments" in key]) == 2
    assert count_rows(third, RAW_ENROLLMENTS) == 4


def test_days_without_a_current_roll_up_are_shown_and_not_fetched(rolled, third):
    roll_up(rolled)  # which the index of the third machine does not know
    build_warehouse(third)
    fetched = {path.relative_to(third.lake).parts[0] for path in third.lake.rglob("*.parquet")}
    assert fetched == {RAW_ENROLLMENTS.name, PORTFOLIO_COMPLETION.name}  # their samples
    assert count_rows(rolled, COURSE_COMPLETION) == 5


def test_a_file_that_is_replaced_while_its_end_is_read_is_read_again(rolled, third, monkeypatch):
    roll_up(rolled)  # which the index of the third machine does not know
    read, failures = read_stored_footer, iter([StoreError("It was replaced.")])

    def read_or_fail(store, key):
        for failure in failures:
            raise failure
        return read(store, key)

    monkeypatch.setattr(warehouse_days, "read_stored_footer", read_or_fail)
    build_warehouse(third)
    assert count_rows(rolled, COURSE_COMPLETION) == 5


def test_if_all_samples_are_damaged_only_they_are_fetched(rolled, third, monkeypatch):
    roll_up(rolled)
    monkeypatch.setattr(warehouse_views, "MAX_SAMPLES", 1)
    paths = sorted((rolled.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))
    for path in (paths[0], paths[2]):
        truncate(path)
        rolled.store.send(path, rolled.get_key(path))
    assert len(build_warehouse(third).left_out) == 2
    assert count_rows(rolled, RAW_ENROLLMENTS) == 3
    assert len(list((third.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))) <= 2


def test_all_days_of_the_portfolio_are_fetched_at_once(rolled, monkeypatch):
    roll_up(rolled)
    fetched, fetch = [], rolled.store.fetch

    def record(keys):
        fetched.append(sorted(keys))
        fetch(fetched[-1])

    monkeypatch.setattr(rolled.store, "fetch", record)
    build_warehouse(rolled)
    days = [rolled.get_key(rolled.file(PORTFOLIO_COMPLETION, DayPartition(day))) for day in (FIRST, SECOND)]
    assert [keys for keys in fetched if set(keys) & set(days)] == [days]


def test_without_a_warehouse_the_error_names_its_address(third):
    with pytest.raises(LakeError, match=r"^There is no warehouse at s3://bucket/warehouse/lms\.duckdb yet"):
        count_rows(third, COURSE_COMPLETION)


def test_a_warehouse_of_another_bucket_is_refused(built, third, monkeypatch):
    monkeypatch.setattr(FolderBucket, "describe", lambda _, key: f"s3://other/{key}")
    with pytest.raises(LakeError, match=r"^s3://other/warehouse/lms\.duckdb was built for another folder"):
        count_rows(third, COURSE_COMPLETION)


def test_a_failure_of_the_bucket_is_one_sentence(built, third, monkeypatch):

    def fail(*_):
        raise StoreError("s3://bucket/x can't be read: the store can't be reached; try again later.")

    monkeypatch.setattr(third.store, "read_range", fail)
    with pytest.raises(StoreError, match=r"^s3://bucket/x can't be read: .*; try again later\.$"):
        count_rows(third, COURSE_COMPLETION)


def test_a_roll_up_that_was_removed_is_named(built, third):
    third.store.remove(third.get_key(third.roll_up(LEARNER_COMPLETION, SECOND)))
    with pytest.raises(StoreError, match=r"^s3://bucket/lake_by_day/learner_completion/.* is not there"):
        count_rows(third, LEARNER_COMPLETION)


def test_a_wrong_query_is_an_error_of_duckdb(built, third):
    with pytest.raises(duckdb.BinderException), open_warehouse(third) as connection:
        connection.sql("SELECT nothing FROM course_completion")
