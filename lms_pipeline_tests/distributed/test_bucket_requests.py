"""Downloads, listings and removals in a bucket whose store fails: repeated, or one sentence; no copy is half, and none is lost."""

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage import bucket
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.pulled import COURSES
from lms_pipeline_tests.distributed.publications import (
    ACME,
    data,
    find_runs,
    get_key,
    impatient,
    open_machine,
    publish,
    short_waits,
)
from lms_pipeline_tests.distributed.s3_front import Fault
from lms_pipeline_tests.distributed.services import find_free_port

__all__ = ["data", "impatient", "open_machine", "short_waits"]

pytestmark = pytest.mark.distributed


@pytest.mark.parametrize("action", ["half", "cut"])
def test_a_download_that_is_cut_is_repeated(action, s3, data, open_machine):
    s3.faults.append(Fault(action, method="GET", match="data.parquet", times=2))
    assert find_runs(open_machine("other")) == ["old"] * 5


def test_a_download_that_never_ends_leaves_no_copy(s3, data, open_machine):
    other = open_machine("other")
    s3.faults.append(Fault("half", method="GET", match="data.parquet", times=10_000))
    with pytest.raises(StoreError, match=r"can't be read: the store can't be reached, or fails"):
        other.store.fetch([get_key(other, COURSES)])
    assert not list(other.root.rglob("*.parquet"))


def test_a_failed_download_leaves_the_old_copy(s3, data, open_machine):
    other = open_machine("other")
    find_runs(other)
    publish(data, "new")
    s3.faults.append(Fault("half", method="GET", match="data.parquet", times=10_000))
    with pytest.raises(StoreError):
        other.store.fetch([get_key(other, COURSES)])
    assert read_metadata(other.file(COURSES, ACME))["run_id"] == "old"


def test_an_outage_removes_no_copy(s3, data):
    s3.faults.append(Fault("status", times=10_000))
    with pytest.raises(StoreError):
        data.store.fetch([get_key(data, COURSES)])
    assert data.file(COURSES, ACME).exists()


@pytest.fixture
def many(s3, data, lake_url, monkeypatch):
    """21 more objects, which are three pages of a listing: moto's pages have 10 here, instead of 1,000."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    name = lake_url.removeprefix("s3://").partition("/")[0]
    s3.fill(name, [f"installation/lake/many/{number:04}" for number in range(21)])


def test_a_listing_has_all_pages(many, data, s3):
    s3.reset()
    assert len(list(data.store.list_files("lake/many/"))) == 21
    assert s3.counts["GET"] == 3


def test_a_listing_that_fails_in_the_middle_is_no_short_one(many, data, s3):
    s3.faults.append(Fault("status", method="GET", match="continuation-token", times=10_000))
    with pytest.raises(
        StoreError, match=r"lake/many/ can't be listed: the store can't be reached, or fails \(SlowDown\)"
    ):
        list(data.store.list_files("lake/many/"))


@pytest.mark.parametrize(
    "request_store",
    [
        lambda store: store.find("lake/x"),
        lambda store: store.fetch(["lake/x"]),
        lambda store: list(store.list_files("lake/")),
        lambda store: store.list_folders("lake/"),
        lambda store: store.remove("lake/x"),
    ],
    ids=["find", "fetch", "list files", "list folders", "remove"],
)
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (401, "Unauthorized")])
def test_refused_credentials_are_one_sentence(request_store, status, code, s3, data):
    s3.faults.append(Fault("status", status=status, code=code, times=10_000))
    with pytest.raises(
        bucket.AccessRefusedError, match=r"the store refuses the credentials \(\w+\); check that they may list"
    ):
        request_store(data.store)


def test_a_removal_that_is_refused_leaves_everything(s3, data):
    s3.faults.append(Fault("status", method="POST", match="delete", status=403, code="AccessDenied"))
    key = get_key(data, COURSES)
    with pytest.raises(
        StoreError, match=r"can't be removed: the store refuses the credentials \(AccessDenied\); check that"
    ):
        data.store.remove(key)
    assert data.file(COURSES, ACME).exists()
    assert data.store.find(key) is not None


def test_a_bucket_that_does_not_exist_is_one_sentence(tmp_path, s3):
    data = DataDir(tmp_path, open_storage(tmp_path, "s3://no-such-bucket/prefix", None))
    with pytest.raises(bucket.MissingBucketError, match=r"there is no such bucket; check LMS_LAKE_URL\.$") as error:
        publish(data, "new")
    assert not error.value.may_pass


def test_a_store_that_does_not_answer_is_one_sentence(tmp_path, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{find_free_port()}")
    store = open_storage(tmp_path, "s3://bucket/prefix", None).store
    with pytest.raises(StoreError) as error:
        store.fetch(["lake/x"])
    assert str(error.value) == (
        "s3://bucket/prefix/lake/x can't be read: the store can't be reached, or fails (nothing listens there); try again later."
    )


def test_a_store_that_answers_too_late_is_one_sentence(impatient, s3, data):
    s3.faults.append(Fault("hang", times=100))
    with pytest.raises(StoreError, match=r"fails \(it did not answer in time\); try again later\.$"):
        data.store.find("lake/x")
