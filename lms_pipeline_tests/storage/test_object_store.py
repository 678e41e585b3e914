"""The store in a bucket: publishing, sending, listing and reading parts of files."""

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")


from lms_pipeline.storage.store import PublishedByAnotherError, StoreError, UnsafeStoreError
from lms_pipeline_tests.support.memory_bucket import NEVER, memory, open_machine, read, store
from lms_pipeline_tests.support.stored_files import KEY, OTHER_KEY, publish

__all__ = ["memory", "open_machine", "publish", "store"]

pytestmark = pytest.mark.distributed

ANSWERS = "answers/snapshot_date=2026-01-31/account_id=a.sqlite"


def test_a_published_file_is_stored(store, publish):
    publish(store, b"rows")
    assert (store.find(KEY).size, store.describe(KEY)) == (4, f"memory://bucket/{KEY}")


def test_a_published_file_becomes_the_local_copy(store, publish, tmp_path):
    publish(store, b"rows")
    assert (read(store), (tmp_path / "new").exists()) == (b"rows", False)


def test_a_removed_file_is_gone_here_too(store, publish):
    publish(store, b"rows")
    store.remove(KEY)
    assert (store.find(KEY), read(store)) == (None, None)


def test_a_missing_object_is_no_error(store):
    store.fetch([NEVER])
    store.remove(NEVER)
    assert (store.find(NEVER), read(store, NEVER)) == (None, None)


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
