"""Files of pulls in a bucket: one object for an account and day, listed by day, fetched and sent as a whole."""

from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest

from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.pull_files import CheckpointPlace, find_fingerprints, find_pull_files, find_responses
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket

DAY, LATER = date(2026, 3, 1), date(2026, 3, 2)
ACME, BETA, ACME_LATER = Partition("acme", DAY), Partition("a-b", DAY), Partition("acme", LATER)


@pytest.fixture
def bucket(tmp_path):
    return FolderBucket(tmp_path / "scratch", tmp_path / "bucket")


@pytest.fixture
def data(tmp_path, bucket):
    return open_in_bucket(tmp_path / "scratch", bucket)


@pytest.fixture
def place(data):
    return CheckpointPlace.of(data, ACME)


@pytest.fixture
def elsewhere(tmp_path):
    """The same checkpoint on another machine."""
    other = tmp_path / "other"
    return CheckpointPlace.of(open_in_bucket(other, FolderBucket(other, tmp_path / "bucket")), ACME)


def store(place, content):
    write(place.path)
    with place.sending() as new:
        new.write_bytes(content)
    place.remove_local()


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_key_begins_with_the_day(data):
    assert data.checkpoint_key(ACME) == "answers/snapshot_date=2026-03-01/account_id=acme.sqlite"
    assert data.checkpoint_key(ACME, lists_only=True) == "answers/snapshot_date=2026-03-01/account_id=acme.lists.sqlite"
    fingerprints = data.get_key(data.fingerprints_path(ACME))
    assert fingerprints == "details/snapshot_date=2026-03-01/account_id=acme.parquet"


def test_paths_on_a_disk_are_those_of_earlier_versions(tmp_path):
    data = DataDir(tmp_path)
    assert data.get_key(data.checkpoint_path(ACME)) == "answers/account_id=acme/snapshot_date=2026-03-01.sqlite"
    fingerprints = data.get_key(data.fingerprints_path(ACME))
    assert fingerprints == "state/details/account_id=acme/snapshot_date=2026-03-01.parquet"


def test_what_one_machine_sends_another_one_fetches(place, elsewhere):
    store(place, b"responses")
    assert elsewhere.fetch()
    assert elsewhere.path.read_bytes() == b"responses"


def test_a_fetch_replaces_the_local_file_and_what_sqlite_left_beside_it(place):
    store(place, b"stored")
    write(place.path, b"of an earlier run")
    wal = place.path.with_name(f"{place.path.name}-wal")
    write(wal)
    assert place.fetch()
    assert place.path.read_bytes() == b"stored"
    assert not wal.exists()


def test_a_fetch_removes_a_local_file_of_which_nothing_is_stored_any_more(data, place, elsewhere):
    store(elsewhere, b"responses")
    place.fetch()
    data.store.remove(place.key)
    assert place.fetch()
    assert not place.path.exists()


def test_no_copy_stays_on_the_machine_that_sent_it(data, place):
    store(place, b"responses")
    assert [path for path in data.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_machine_keeps_what_it_added_since_it_fetched(place, is_stored):
    if is_stored:
        store(place, b"first")
    place.fetch()
    write(place.path, b"first and more")
    assert not place.fetch()
    assert place.path.read_bytes() == b"first and more"


def test_a_machine_keeps_what_it_added_since_it_sent(place):
    write(place.path, b"first")
    with place.sending() as new:
        new.write_bytes(b"first")
    write(place.path, b"first and more")
    assert not place.fetch()
    assert place.path.read_bytes() == b"first and more"


def test_a_machine_drops_what_it_added_once_another_has_continued(place, elsewhere):
    store(place, b"first")
    place.fetch()
    write(place.path, b"first and more")
    store(elsewhere, b"first and other")
    assert place.fetch()
    assert place.path.read_bytes() == b"first and other"


def test_a_machine_drops_what_was_removed_from_the_store(data, place):
    store(place, b"first")
    place.fetch()
    data.store.remove(place.key)
    assert place.fetch()
    assert not place.path.exists()


def test_a_store_without_versions_is_always_fetched(monkeypatch, place, elsewhere):
    find = FolderBucket.find
    monkeypatch.setattr(FolderBucket, "find", lambda *args: (found := find(*args)) and replace(found, version=""))
    store(place, b"first")
    place.fetch()
    store(elsewhere, b"second")
    assert place.fetch()
    assert place.path.read_bytes() == b"second"


def test_the_stored_file_of_a_disk_is_never_removed_as_a_copy(tmp_path):
    place = CheckpointPlace.of(DataDir(tmp_path), ACME)
    write(place.path, b"responses")
    assert not place.fetch()
    place.remove_local()
    assert place.path.read_bytes() == b"responses"


def list_responses(data, account_id=None):
    return [(found.partition, found.path.name, found.bytes) for found in find_responses(data, account_id)]


@pytest.mark.parametrize("account_id", [None, "acme"])
def test_responses_of_a_bucket_are_found_by_day(data, account_id):
    for partition, content in ((ACME_LATER, b"12"), (ACME, b"1"), (BETA, b"123")):
        store(CheckpointPlace.of(data, partition), content)
    store(CheckpointPlace.of(data, ACME, lists_only=True), b"1234")
    expected = [
        (BETA, "account_id=a-b.sqlite", 3),
        (ACME, "account_id=acme.lists.sqlite", 4),
        (ACME, "account_id=acme.sqlite", 1),
        (ACME_LATER, "account_id=acme.sqlite", 2),
    ]
    assert list_responses(data, account_id) == (expected if account_id is None else expected[1:])


def test_responses_of_a_killed_run_are_found_beside_those_of_the_bucket(data, place):
    store(place, b"1")
    write(place.path, b"12")
    assert [size for _, _, size in list_responses(data)] == [2, 1]


def test_a_name_that_is_no_partition_is_left_out(tmp_path, data):
    for name in (
        "snapshot_date=2026-03-01/other.sqlite",
        "account_id=acme/x",
        "snapshot_date=x/account_id=acme.sqlite",
    ):
        write(tmp_path / "bucket/answers" / name)
    assert list_responses(data) == []


def test_a_local_file_of_which_nothing_was_ever_stored_stays(place):
    write(place.path, b"the only one")
    assert not place.fetch()
    assert place.path.read_bytes() == b"the only one"


def test_a_local_file_without_a_mark_is_replaced_by_what_is_stored(place, elsewhere):
    store(elsewhere, b"stored")
    write(place.path, b"local")
    assert place.fetch()
    assert place.path.read_bytes() == b"stored"


@pytest.fixture(params=["disk", "bucket"])
def report(request, tmp_path, data):
    """A data directory, a path in it, and the file that is stored for it."""
    on_disk = DataDir(tmp_path / "disk")
    used = on_disk if request.param == "disk" else data
    path = used.report_path(DAY)
    return used, path, path if request.param == "disk" else tmp_path / "bucket" / data.get_key(path)


def test_a_file_is_replaced_as_a_whole(report):
    data, path, stored = report
    for content in (b"old", b"new"):
        with data.replacing(path) as new:
            new.write_bytes(content)
            data.store.fetch([data.get_key(path)])  # as another process may
    assert (path.read_bytes(), stored.read_bytes(), new.exists()) == (b"new", b"new", False)


def test_a_file_stays_if_the_new_one_can_not_be_written(report):
    data, path, stored = report
    with data.replacing(path) as new:
        new.write_bytes(b"old")
    with suppress(ZeroDivisionError), data.replacing(path) as new:
        new.write_bytes(b"new")
        raise ZeroDivisionError
    assert (path.read_bytes(), stored.read_bytes(), new.exists()) == (b"old", b"old", False)


def store_fingerprints(data, partition):
    path = data.fingerprints_path(partition)
    write(path)
    data.store.send(path, data.get_key(path))


def test_fingerprints_of_a_bucket_are_found_by_day(data):
    for partition in (ACME_LATER, ACME):
        store_fingerprints(data, partition)
    assert [found.partition for found in find_fingerprints(data)] == [ACME, ACME_LATER]


@pytest.mark.parametrize("kind", ["disk", "bucket"])
def test_each_found_path_is_removed_through_the_store(tmp_path, data, kind):
    if kind == "disk":
        data = DataDir(tmp_path / "disk")
        write(data.checkpoint_path(ACME))
        write(data.checkpoint_path(ACME, lists_only=True))
        write(data.fingerprints_path(ACME))
    else:
        store(CheckpointPlace.of(data, ACME), b"1")
        store(CheckpointPlace.of(data, ACME, lists_only=True), b"1")
        store_fingerprints(data, ACME)
        write(data.checkpoint_path(ACME))  # of a run that was killed here
    paths = find_pull_files(data, ACME)
    assert len(paths) == (3 if kind == "disk" else 4)
    for path in paths:
        data.store.remove(data.get_key(path))
    assert find_pull_files(data, ACME) == []
    assert [*find_responses(data), *find_fingerprints(data)] == []
