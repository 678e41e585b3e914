"""The store in a bucket and its local copies, over a store in memory."""

import itertools
import sqlite3
import threading
import time

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from obstore.store import MemoryStore

from lms_pipeline.storage.bucket import Bucket, ConditionRefusedError
from lms_pipeline.storage.mirror import Mirror
from lms_pipeline.storage.object_store import ObjectStore
from lms_pipeline.storage.store import PublishedByAnotherError, StoreError, UnsafeStoreError
from lms_pipeline.storage.store_marker import MARKER_KEY

pytestmark = pytest.mark.distributed

KEY = "lake/courses/account_id=a/snapshot_date=2026-01-31/data.parquet"
OTHER_KEY = "lake/courses/account_id=b/snapshot_date=2026-01-31/data.parquet"
ANSWERS = "answers/snapshot_date=2026-01-31/account_id=a.sqlite"
NEVER = "lake/courses/account_id=c/snapshot_date=2026-01-31/data.parquet"


class CountingBucket(Bucket):
    """Counts the downloads."""

    downloads = 0

    def get(self, key, unless=""):
        found = super().get(key, unless)
        self.downloads += found is not None
        return found


@pytest.fixture
def memory():
    return MemoryStore()


@pytest.fixture
def open_machine(tmp_path, memory):
    """Opens the store as another machine does, with a data directory of its own."""

    def opened(name="first", is_demo=False, url="memory://bucket"):
        return ObjectStore(tmp_path / name, CountingBucket(url, lambda _: memory), lambda: is_demo)

    return opened


@pytest.fixture
def store(open_machine):
    return open_machine()


@pytest.fixture
def publish(tmp_path):
    """Publishes a content, as a run that saw what is stored now unless it is given."""

    def published(store, content, key=KEY, **seen):
        new = tmp_path / "new"
        new.write_bytes(content)
        store.publish(new, key, seen["seen"] if seen else store.find(key))

    return published


def read(store, key=KEY):
    path = store._root / key
    return path.read_bytes() if path.exists() else None


def test_a_published_file_is_stored(store, publish):
    publish(store, b"rows")
    assert (store.find(KEY).size, store.describe(KEY)) == (4, f"memory://bucket/{KEY}")


def test_a_published_file_becomes_the_local_copy(store, publish, tmp_path):
    publish(store, b"rows")
    assert (read(store), (tmp_path / "new").exists()) == (b"rows", False)


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


def test_a_removed_file_is_gone_here_too(store, publish):
    publish(store, b"rows")
    store.remove(KEY)
    assert (store.find(KEY), read(store)) == (None, None)


def test_a_missing_object_is_no_error(store):
    store.fetch([NEVER])
    store.remove(NEVER)
    assert (store.find(NEVER), read(store, NEVER)) == (None, None)


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


def test_a_publication_over_another_one_is_refused(store, open_machine, publish):
    publish(store, b"rows")
    seen = store.find(KEY)
    publish(open_machine("other"), b"rows of the other")
    with pytest.raises(PublishedByAnotherError, match=f"^memory://bucket/{KEY} was published by another run meanwhile"):
        publish(store, b"more rows", seen=seen)
    store.fetch([KEY])
    assert read(store) == b"rows of the other"


def test_a_first_publication_over_another_one_is_refused(store, open_machine, publish):
    publish(open_machine("other"), b"rows of the other")
    with pytest.raises(PublishedByAnotherError):
        publish(store, b"rows", seen=None)


def test_a_publication_over_a_removed_file_is_refused(store, open_machine, publish):
    publish(store, b"rows")
    seen = store.find(KEY)
    open_machine("other").remove(KEY)
    with pytest.raises(PublishedByAnotherError):
        publish(store, b"more rows", seen=seen)


def test_a_refused_publication_leaves_the_local_copy(store, open_machine, publish, tmp_path):
    publish(store, b"rows")
    seen = store.find(KEY)
    publish(open_machine("other"), b"rows of the other")
    with pytest.raises(PublishedByAnotherError):
        publish(store, b"more rows", seen=seen)
    assert (read(store), (tmp_path / "new").read_bytes()) == (b"rows", b"more rows")


def test_the_same_content_may_be_published_again(store, publish):
    publish(store, b"rows")
    publish(store, b"rows", seen=None)
    assert read(store) == b"rows"


def test_a_file_of_more_than_4_gib_is_refused(store, tmp_path):
    new = tmp_path / "new"
    with new.open("wb") as file:
        file.truncate(4 * 2**30 + 1)
    with pytest.raises(UnsafeStoreError, match=r"the file has 4\.0 GiB, and one of more than 4 GiB can't be published"):
        store.publish(new, KEY, None)


@pytest.fixture
def send(tmp_path):
    def sent(store, content):
        new = tmp_path / "new"
        new.write_bytes(content)
        store.send(new, ANSWERS)

    return sent


def test_a_sent_file_replaces_what_is_stored(store, open_machine, send):
    send(store, b"answers")
    send(open_machine("other"), b"more answers")
    store.fetch([ANSWERS])
    assert read(store, ANSWERS) == b"more answers"


def test_a_sent_file_is_the_local_copy(store, send, tmp_path):
    send(store, b"answers")
    store.fetch([ANSWERS])
    assert (read(store, ANSWERS), store._bucket.downloads, (tmp_path / "new").exists()) == (b"answers", 0, False)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_sent_file_has_any_size(size, store, send):
    send(store, b"x" * size)
    assert store.find(ANSWERS).size == size


@pytest.mark.parametrize("moment", ["put", "overwrite"])
def test_a_file_is_stored_while_another_process_fetches_the_older_one(moment, store, open_machine, send, monkeypatch):
    send(store, b"old")
    request = getattr(store._bucket, moment)

    def fetch_then_request(*args, **kwargs):
        open_machine().fetch([ANSWERS])
        return request(*args, **kwargs)

    monkeypatch.setattr(store._bucket, moment, fetch_then_request)
    send(store, b"new")
    other = open_machine("other")
    other.fetch([ANSWERS])
    assert (read(store, ANSWERS), read(other, ANSWERS)) == (b"new", b"new")


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


def test_files_and_folders_are_listed(store, publish):
    publish(store, b"rows")
    publish(store, b"other", OTHER_KEY)
    folder = "lake/courses/"
    assert [file.key for file in store.list_files(folder)] == [KEY, OTHER_KEY]
    assert store.list_folders(folder) == ["account_id=a", "account_id=b"]
    assert (list(store.list_files("lake/learners/")), store.list_folders("lake/learners/")) == ([], [])


def test_a_listing_has_the_signatures_of_single_files(store, publish):
    publish(store, b"rows")
    (listed,) = store.list_files("lake/courses/")
    assert listed.signature == store.find(KEY).signature


def test_another_content_has_another_signature(store, publish):
    publish(store, b"rows")
    first = store.find(KEY).signature
    publish(store, b"sour")
    assert store.find(KEY).signature != first


def test_a_part_of_a_file_is_read(store, publish):
    publish(store, b"0123456789")
    file = store.find(KEY)
    assert [store.read_range(file, *part) for part in ((0, 3), (8, 9), (10, 5))] == [b"012", b"89", b""]


def test_a_part_of_a_replaced_file_is_not_read(store, publish):
    publish(store, b"0123456789")
    file = store.find(KEY)
    publish(store, b"9876543210")
    with pytest.raises(StoreError):
        store.read_range(file, 0, 3)


def test_the_first_write_marks_the_bucket(store, publish):
    publish(store, b"rows")
    store.fetch([MARKER_KEY])
    assert read(store, MARKER_KEY) == b'{"version":1,"demo":false}'


def test_reading_marks_nothing(store):
    store.fetch([KEY])
    store.remove(KEY)
    assert list(store.list_files("")) == []


@pytest.mark.parametrize(
    ("is_demo", "sentence"),
    [
        (True, "The lake at memory://bucket belongs to accounts that are not the demo's: choose another place"),
        (False, "The lake at memory://bucket belongs to the demo: choose another place with LMS_LAKE_URL."),
    ],
)
def test_the_demo_and_others_do_not_share_a_bucket(is_demo, sentence, open_machine, publish):
    publish(open_machine("first", is_demo=not is_demo), b"rows")
    with pytest.raises(UnsafeStoreError, match=sentence):
        publish(open_machine("other", is_demo=is_demo), b"rows", OTHER_KEY)


def test_nothing_is_removed_from_a_bucket_without_a_marker(memory, store):
    memory.put(KEY, b"of another program")
    with pytest.raises(UnsafeStoreError) as error:
        store.remove(KEY)
    assert str(error.value) == (
        f"memory://bucket/{KEY} stays, since memory://bucket/{MARKER_KEY}, the marker of a lake, is missing: check LMS_LAKE_URL; in "
        "the right bucket the next pull writes the marker."
    )
    assert [file.key for file in store.list_files("")] == [KEY]


@pytest.mark.parametrize("is_demo", [True, False])
def test_nothing_is_removed_from_the_bucket_of_another_kind(is_demo, store, open_machine, publish):
    publish(open_machine("first", is_demo=not is_demo), b"rows")
    with pytest.raises(UnsafeStoreError, match=r"choose another place with LMS_LAKE_URL\.$"):
        open_machine("other", is_demo=is_demo).remove(KEY)
    assert store.find(KEY) is not None


@pytest.mark.parametrize("content", [b"no json", b'{"version": 2, "demo": false}'])
def test_nothing_is_removed_from_a_bucket_with_another_marker(content, memory, store):
    memory.put(KEY, b"rows")
    memory.put(MARKER_KEY, content)
    with pytest.raises(UnsafeStoreError):
        store.remove(KEY)
    assert store.find(KEY) is not None


def test_the_marker_is_read_once_for_all_removals(store, open_machine, publish):
    publish(store, b"rows")
    publish(store, b"rows", OTHER_KEY)
    other = open_machine("other")
    for key in (KEY, OTHER_KEY, NEVER):
        other.remove(key)
    assert (other._bucket.downloads, list(other.list_files("lake/courses/"))) == (1, [])


def test_a_marker_that_another_machine_is_about_to_write_is_waited_for(store, publish, monkeypatch):
    put, markers = store._bucket.put, itertools.count()

    def refuse_once(key, *args):
        if key == MARKER_KEY and next(markers) == 0:
            raise ConditionRefusedError("Another machine writes it.")
        return put(key, *args)

    monkeypatch.setattr(store._bucket, "put", refuse_once)
    publish(store, b"rows")
    assert read(store) == b"rows"


def test_a_marker_that_can_neither_be_written_nor_read_may_be_there_later(store, publish, monkeypatch):
    def refuse(*_):
        raise ConditionRefusedError("Another machine writes it.")

    monkeypatch.setattr(store._bucket, "put", refuse)
    with pytest.raises(StoreError, match=r"/lake/\.lms_pipeline\.json can't be written: .*; try again later\.$"):
        publish(store, b"rows")


@pytest.mark.parametrize("content", [b"", b"no json", b'{"demo": 1}'])
def test_a_marker_of_something_else_is_refused(content, memory, store, publish):
    memory.put(MARKER_KEY, content)
    with pytest.raises(UnsafeStoreError, match=r"does not hold what this version writes"):
        publish(store, b"rows")


def test_a_bucket_of_a_newer_version_is_refused(memory, store, publish):
    memory.put(MARKER_KEY, b'{"version": 2, "demo": false}')
    with pytest.raises(UnsafeStoreError, match="was written by a newer lms_pipeline"):
        publish(store, b"rows")
