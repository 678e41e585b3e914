"""Reading tables of a lake in a bucket from Python: the rows of one on a disk, on a machine that has no file of it."""

import logging
import shutil

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import reading
from lms_pipeline.lake.index_sync import begin_changes
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES, VIEWS
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    PROVENANCE,
    SECOND,
    enrollment,
    publish,
    publish_small_lake,
    write,
)
from lms_pipeline_tests.support.parquet_damage import damage_pages, truncate, write_newer


def open_machine(folder, name):
    """Return the data directory of a machine; all have the same bucket."""
    return open_in_bucket(folder / name, FolderBucket(folder / name, folder / "bucket"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A lake on a disk, and the same in a bucket with the machine that pulled, for copies."""
    folder = tmp_path_factory.mktemp("published")
    publish_small_lake(DataDir(folder / "disk"))
    publish_small_lake(open_machine(folder, "puller"))
    return folder


@pytest.fixture
def copied(published, tmp_path):
    return shutil.copytree(published, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def disk(copied):
    """The same lake on a disk."""
    return DataDir(copied / "disk")


@pytest.fixture
def data(copied):
    """The machine that pulls."""
    return open_machine(copied, "puller")


@pytest.fixture
def third(data, tmp_path, monkeypatch):
    """A machine without a file, on which `read` is called."""
    third = open_machine(tmp_path, "third")
    monkeypatch.setattr(DataDir, "open", lambda _: third)
    monkeypatch.setattr(Settings, "load", lambda: Settings(data_dir=third.root))
    return third


@pytest.fixture(scope="module")
def rolled_up(published, tmp_path_factory):
    """The same after the days were rolled up, and a third machine with an index of its own that knows of it."""
    folder = shutil.copytree(published, tmp_path_factory.mktemp("rolled up"), dirs_exist_ok=True)
    roll_up(open_machine(folder, "puller"))
    third = open_machine(folder, "third")
    assert find_outdated_days(third) == [FIRST, SECOND]
    roll_up(third)  # its index learns of them; nothing is written again
    return folder


@pytest.fixture
def rolled(rolled_up, copied, third):
    """The third machine after the days were rolled up."""
    shutil.rmtree(copied)
    shutil.copytree(rolled_up, copied)
    return third


def roll_up(data):
    for day in find_outdated_days(data):
        roll_up_day(data, day)


def list_read(data, folder):
    return [key for method, key in data.store.log if method == "GET" and key.startswith(folder)]


def read_all(**more):
    return {table: read(table, **more).to_pylist() for table in (*TABLES, *VIEWS)}


def test_the_rows_are_those_of_a_disk(third, disk):
    assert read_all() == read_all(data_dir=disk.root)


def test_with_roll_ups_the_rows_are_those_of_a_disk(rolled, disk):
    assert read_all() == read_all(data_dir=disk.root)


def test_only_the_files_of_chosen_accounts_and_days_are_fetched(third):
    assert len(read("course_completion", accounts=["acme"], first=SECOND)) == 1
    assert list_read(third, "") == ["lake/course_completion/account_id=acme/snapshot_date=2026-03-02/data.parquet"]


def test_roll_ups_are_read_in_the_bucket(rolled):
    rolled.store.log.clear()
    assert len(read("course_completion")) == 5
    assert list_read(rolled, "lake/") == []
    assert not rolled.roll_ups.exists()


def test_chosen_accounts_are_read_from_roll_ups_if_they_are_many(rolled, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FILES_READ", 1)
    rolled.store.log.clear()
    accounts = read("course_completion", accounts=["acme", "gamma"]).column("account_id").to_pylist()
    assert accounts == ["acme", "acme", "gamma"]
    assert list_read(rolled, "lake/") == []


def test_a_roll_up_that_is_out_of_date_is_not_read(rolled, data):
    publish(data, "beta", SECOND, {"course_id": "c1"}, {"course_id": "c2"}, table=COURSE_COMPLETION)
    find_outdated_days(rolled)  # the index of the third machine learns of it, as one of all machines would
    roll_up(rolled)
    publish(rolled, "beta", SECOND, {"course_id": "c1"}, table=COURSE_COMPLETION)
    assert len(read("course_completion")) == 5


def test_what_a_run_is_publishing_is_read(rolled, data):
    begin_changes(rolled, Partition("gamma", SECOND), "a run at work")
    path = write(data.file(COURSE_COMPLETION, Partition("gamma", SECOND)), COURSE_COMPLETION, {"course_id": "c1"})
    data.store.send(path, data.get_key(path))
    assert read("course_completion", first=SECOND).column("account_id").to_pylist() == ["acme", "beta", "gamma"]


def test_records_of_an_unfinished_pull_are_left_out(third, data, caplog):
    path = write(
        data.file(RAW_ENROLLMENTS, Partition("acme", FIRST)),
        RAW_ENROLLMENTS,
        {"payload": "{}"},
        metadata={**PROVENANCE, "run_id": "run-2"},
    )
    data.store.send(path, data.get_key(path))
    with caplog.at_level(logging.WARNING):
        accounts = read("raw_enrollments", first=FIRST, last=FIRST).column("account_id").to_pylist()
    assert accounts == ["beta", "gamma"]
    assert "raw_enrollments of acme on 2026-03-01 is left out: its pull did not finish." in caplog.text


def test_a_pull_that_publishes_between_two_downloads_hides_no_records(third, data, monkeypatch, caplog):
    partition, fetch = Partition("acme", FIRST), third.store.fetch
    rows = {RAW_ENROLLMENTS: {"payload": "[]"}, UNIFIED_ENROLLMENTS: enrollment("u2")}

    def publish_between(keys):
        monkeypatch.setattr(third.store, "fetch", fetch)
        one, other = keys
        fetch([one])
        for table, row in rows.items():
            path = write(data.file(table, partition), table, row, metadata={**PROVENANCE, "run_id": "run-2"})
            data.store.send(path, data.get_key(path))
        fetch([other])

    monkeypatch.setattr(third.store, "fetch", publish_between)
    found = read("raw_enrollments", accounts=["acme"], first=FIRST, last=FIRST)
    assert found.column("payload").to_pylist() == ["[]"]
    assert "is left out" not in caplog.text


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncate, " is damaged: "),
        (damage_pages, " is damaged: "),
        (write_newer, " was written by a newer lms_pipeline "),
    ],
)
def test_the_object_is_named_and_not_its_copy_on_this_machine(damage, sentence, third, data):
    path = data.file(COURSE_COMPLETION, Partition("acme", FIRST))
    damage(path)
    data.store.send(path, data.get_key(path))
    with pytest.raises(LakeError) as error:
        read("course_completion")
    assert str(error.value).startswith(f"s3://bucket/{data.get_key(path)}{sentence}")
    assert str(third.root) not in str(error.value)
