"""The marker of a lake in a bucket: what it lets in, and what it keeps out."""

import itertools

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")


from lms_pipeline.storage.bucket import ConditionRefusedError
from lms_pipeline.storage.store import StoreError, UnsafeStoreError
from lms_pipeline.storage.store_marker import MARKER_KEY
from lms_pipeline_tests.support.memory_bucket import NEVER, memory, open_machine, read, store
from lms_pipeline_tests.support.stored_files import KEY, OTHER_KEY, publish

__all__ = ["memory", "open_machine", "publish", "store"]

pytestmark = pytest.mark.distributed


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
