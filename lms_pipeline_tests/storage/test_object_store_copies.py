"""The local copies of a store in a bucket: when they are made, replaced and removed."""

import sqlite3
import threading
import time

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from obstore.store import MemoryStore

from lms_pipeline.storage.mirror import Mirror
from lms_pipeline.storage.object_store import ObjectStore
from lms_pipeline.storage.store import StoreError
from lms_pipeline_tests.support.memory_bucket import NEVER, CountingBucket, memory, open_machine, read, store
from lms_pipeline_tests.support.stored_files import KEY, OTHER_KEY, publish

__all__ = ["memory", "open_machine", "publish", "store"]

pytestmark = pytest.mark.distributed


def test_the_machine_that_published_downloads_nothing(store, publish):
    publish(store, b"rows")
    downloads = store._bucket.downloads
    store.fetch([KEY])
    assert store._bucket.downloads == downloads


def test_another_machine_fetches_each_version_once(store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    for _ in range(3):
        other.fetch([KEY])
    assert (read(other), other._bucket.downloads) == (b"rows", 1)


def test_a_new_version_is_fetched_again(store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    other.fetch([KEY])
    publish(store, b"more rows")
    other.fetch([KEY])
    assert read(other) == b"more rows"


def test_another_process_of_the_machine_uses_the_same_copies(store, open_machine, publish):
    publish(store, b"rows")
    open_machine("other").fetch([KEY])
    second = open_machine("other")
    second.fetch([KEY])
    assert second._bucket.downloads == 0


def test_the_copy_of_an_object_that_is_gone_is_removed(store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    other.fetch([KEY])
    store.remove(KEY)
    other.fetch([KEY])
    assert read(other) is None


def test_many_files_are_fetched_at_once(store, open_machine, publish):
    keys = [f"lake/courses/account_id=a{number}/snapshot_date=2026-01-31/data.parquet" for number in range(50)]
    for number, key in enumerate(keys):
        publish(store, b"%d" % number, key)
    other = open_machine("other")
    other.fetch([*keys, NEVER])
    assert [read(other, key) for key in keys] == [b"%d" % number for number in range(50)]


def replace_copy(path):
    path.write_bytes(b"damage")


def truncate_copy(path):
    path.write_bytes(b"")


def remove_copy(path):
    path.unlink()


def restore_old_copy(path):
    old = path.with_name("old")
    old.write_bytes(b"rows of another run")
    old.replace(path)


@pytest.mark.parametrize("change", [replace_copy, truncate_copy, remove_copy, restore_old_copy])
def test_a_copy_that_was_changed_is_fetched_again(change, store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    other.fetch([KEY])
    change(other._root / KEY)
    other.fetch([KEY])
    assert read(other) == b"rows"


def remove_record(path):
    path.unlink()


def damage_record(path):
    path.write_bytes(b"no database" * 1_000)


def empty_record(path):
    path.write_bytes(b"")


def replace_record_by_a_folder(path):
    path.unlink()
    path.mkdir()


def write_record_of_another_version(path):
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()


@pytest.mark.parametrize(
    "damage", [remove_record, damage_record, empty_record, replace_record_by_a_folder, write_record_of_another_version]
)
def test_a_lost_record_costs_a_download(damage, store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    other.fetch([KEY])
    publish(store, b"more rows")
    damage(other._root / "state" / "mirror.sqlite")
    other.fetch([KEY])
    other.fetch([KEY])
    assert (read(other), other._bucket.downloads) == (b"more rows", 2)


def test_a_data_directory_may_get_another_bucket(store, publish, tmp_path):
    publish(store, b"rows")
    empty = MemoryStore()
    moved = ObjectStore(tmp_path / "first", CountingBucket("memory://another", lambda _: empty), lambda: False)
    moved.fetch([KEY])
    assert read(moved) is None


def test_threads_may_fetch_the_same_file(store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    threads = [threading.Thread(target=other.fetch, args=([KEY],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(other) == b"rows"


def test_no_unfinished_file_stays(store, open_machine, publish):
    publish(store, b"rows")
    other = open_machine("other")
    other.fetch([KEY])
    assert sorted(path.name for path in other._root.rglob("*") if path.is_file()) == ["data.parquet", "mirror.sqlite"]


def test_files_are_fetched_apart_from_the_copies_of_others(store, open_machine, publish):
    publish(store, b"rows")
    publish(store, b"other rows", OTHER_KEY)
    other = open_machine("other")
    other.fetch([KEY])
    with other.fetch_apart([KEY, OTHER_KEY, NEVER]) as folder:
        contents = [(folder / key).read_bytes() for key in (KEY, OTHER_KEY)]
        assert (contents, (folder / NEVER).exists()) == ([b"rows", b"other rows"], False)
    assert (folder.exists(), read(other), read(other, OTHER_KEY)) == (False, b"rows", None)


def test_no_file_that_was_fetched_apart_stays_if_one_can_not_be_read(store, open_machine, publish, monkeypatch):
    publish(store, b"rows")
    other = open_machine("other")
    get = other._bucket.get

    def get_or_fail(key, unless=""):
        if key == OTHER_KEY:
            raise StoreError("The store does not answer.")
        return get(key, unless)

    monkeypatch.setattr(other._bucket, "get", get_or_fail)
    with pytest.raises(StoreError), other.fetch_apart([KEY, OTHER_KEY]):
        pass
    assert [path for path in other._root.rglob("*") if path.is_file()] == []


def test_a_local_file_that_is_no_copy_is_kept_if_nothing_is_stored(store, caplog):
    path = store._root / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the only one")
    store.fetch([KEY])
    kept = path.with_name("data.parquet.not_stored")
    assert (read(store), kept.read_bytes()) == (None, b"the only one")
    assert f"{path} is no copy of it: it is now {kept}, for two days." in caplog.text


@pytest.fixture
def kept(store):
    """A local file that was found instead of a copy, under its other name."""
    path = store._root / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the only one")
    store.fetch([KEY])
    return path.with_name("data.parquet.not_stored")


def test_a_file_that_is_not_stored_goes_once_its_key_is(store, kept, publish):
    publish(store, b"rows", OTHER_KEY)
    assert kept.exists()
    publish(store, b"rows")
    assert not kept.exists()


@pytest.mark.parametrize(("days", "stays"), [(1, True), (3, False)])
def test_a_file_that_is_not_stored_goes_after_two_days(days, stays, kept, open_machine, monkeypatch):
    later = time.time() + days * 86_400
    monkeypatch.setattr("lms_pipeline.storage.mirror.time.time", lambda: later)
    open_machine().fetch([OTHER_KEY])
    assert kept.exists() is stays


def test_a_copy_that_was_changed_is_kept_if_nothing_is_stored(store, open_machine, publish):
    publish(store, b"rows")
    (store._root / KEY).write_bytes(b"changed here")
    open_machine("other").remove(KEY)
    store.fetch([KEY])
    assert read(store, f"{KEY}.not_stored") == b"changed here"


@pytest.mark.parametrize(("days", "stays"), [(1, True), (3, False)])
def test_copies_that_no_run_used_are_removed(days, stays, store, open_machine, publish, monkeypatch):
    publish(store, b"rows")
    later = time.time() + days * 86_400
    monkeypatch.setattr("lms_pipeline.storage.mirror.time.time", lambda: later)
    open_machine().fetch([OTHER_KEY])
    assert (read(store) == b"rows") is stays


def test_an_unused_file_that_is_no_copy_stays(store, open_machine, publish, monkeypatch):
    publish(store, b"rows")
    (store._root / KEY).write_bytes(b"changed here")
    later = time.time() + 3 * 86_400
    monkeypatch.setattr("lms_pipeline.storage.mirror.time.time", lambda: later)
    open_machine().fetch([OTHER_KEY])
    assert read(store) == b"changed here"


@pytest.mark.parametrize("first", ["reader", "remover"])
def test_a_copy_that_another_process_looks_for_is_not_removed_as_unused(first, store, publish, monkeypatch):
    publish(store, b"rows")
    later = time.time() + 3 * 86_400
    monkeypatch.setattr("lms_pipeline.storage.mirror.time.time", lambda: later)
    if first == "remover":
        store._mirror.remove_unused(2 * 86_400)
    store._removed_unused_at = time.monotonic()
    store.fetch([KEY])
    store._mirror.remove_unused(2 * 86_400)
    assert read(store) == b"rows"


def test_a_process_that_looks_for_a_copy_finds_none_that_is_being_removed(store, publish, monkeypatch):
    publish(store, b"rows")
    record, other = store._mirror, Mirror(store._root, "memory://bucket")
    later = time.time() + 3 * 86_400
    monkeypatch.setattr("lms_pipeline.storage.mirror.time.time", lambda: later)
    read_record = record._read

    def read_before_a_removal(keys):
        recorded = read_record(keys)
        other.remove_unused(2 * 86_400)
        return recorded

    monkeypatch.setattr(record, "_read", read_before_a_removal)
    assert record.find_versions([KEY]) == {}


def test_what_a_killed_process_left_is_removed(store, monkeypatch):
    left = store._unfinished / "left"
    left.mkdir(parents=True)
    (left / "data.parquet").write_bytes(b"rows")
    later = time.time() + 3 * 86_400
    monkeypatch.setattr("lms_pipeline.storage.object_store.time.time", lambda: later)
    store.fetch([KEY])
    assert not left.exists()


@pytest.mark.parametrize(("minutes", "stays"), [(59, True), (60, False)])
def test_a_process_looks_for_such_copies_hourly(minutes, stays, store, publish, monkeypatch):
    monkeypatch.setattr("lms_pipeline.storage.object_store.time.monotonic", lambda: 1e6)
    publish(store, b"rows")
    store.fetch([KEY])
    later = time.time() + 3 * 86_400
    monkeypatch.setattr("lms_pipeline.storage.mirror.time.time", lambda: later)
    monkeypatch.setattr("lms_pipeline.storage.object_store.time.monotonic", lambda: 1e6 + minutes * 60)
    store.fetch([OTHER_KEY])
    assert (read(store) == b"rows") is stays
