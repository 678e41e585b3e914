"""Publications into a bucket whose store fails: everything is published, or there is one sentence and nothing half."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.storage import bucket, conditional_write
from lms_pipeline.storage.object_store import ObjectStore
from lms_pipeline.storage.store import PublishedByAnotherError, StoreError, UnsafeStoreError
from lms_pipeline.storage.store_marker import MARKER_KEY
from lms_pipeline.tables.pulled import COURSES
from lms_pipeline_tests.distributed.publications import (
    ROWS,
    TABLES,
    build_fault,
    data,
    find_read_runs,
    find_runs,
    get_key,
    hasty,
    impatient,
    open_machine,
    patient,
    publish,
    short_waits,
)
from lms_pipeline_tests.distributed.s3_front import ACCESS_KEY, Fault

__all__ = ["data", "hasty", "impatient", "open_machine", "patient", "short_waits"]

pytestmark = pytest.mark.distributed


@pytest.fixture(params=TABLES)
def table(request):
    """Each of the five tables."""
    return request.param


@pytest.fixture(params=[TABLES[0], TABLES[-1]])
def first_or_last(request):
    """The first table, and the one with the commit mark."""
    return request.param


PASSING = {
    "503 three times": Fault("status", times=3),
    "500 twenty times": Fault("status", status=500, code="InternalError", times=20),
    "cut before it was done": Fault("cut", times=2),
    "cut after it was done": Fault("cut", is_done=True),
    "409": Fault("status", status=409, code="ConditionalRequestConflict"),
    "409 after it was done": Fault("status", status=409, code="ConditionalRequestConflict", is_done=True),
    "412 after it was done": Fault("status", status=412, code="PreconditionFailed", is_done=True),
    "expired credentials": Fault("status", status=400, code="ExpiredToken", times=2),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_delays_a_table(fault, first_or_last, patient, s3, data, open_machine):
    s3.faults.append(build_fault(fault, method="PUT", match=first_or_last))
    publish(data, "new")
    assert find_runs(open_machine("other")) == ["new"] * 5


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
def test_a_request_without_an_answer_delays_a_table(is_done, table, impatient, s3, data, open_machine):
    s3.faults.append(Fault("hang", method="PUT", match=table, is_done=is_done))
    publish(data, "new")
    assert find_runs(open_machine("other")) == ["new"] * 5


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_delays_a_first_publication(fault, patient, s3, open_machine):
    s3.faults.append(build_fault(fault, method="PUT", match="unified"))
    publish(open_machine("first"), "new")
    assert find_runs(open_machine("other")) == ["new"] * 5


LASTING = {
    "500": (
        Fault("status", status=500, code="InternalError"),
        "the store can't be reached, or fails (InternalError); try",
    ),
    "503": (Fault("status"), "the store can't be reached, or fails (SlowDown); try again later."),
    "no connection": (Fault("cut"), "the store can't be reached, or fails; try again later."),
    "expired credentials": (
        Fault("status", status=400, code="ExpiredToken"),
        "or fails (ExpiredToken); try again later.",
    ),
    "refused credentials": (
        Fault("status", status=403, code="AccessDenied"),
        "refuses the credentials (AccessDenied);",
    ),
}


@pytest.mark.parametrize(("fault", "reason"), LASTING.values(), ids=LASTING)
def test_a_fault_that_lasts_is_one_sentence(fault, reason, hasty, s3, data, first_or_last, lake_url):
    s3.faults.append(build_fault(fault, method="PUT", match=first_or_last, times=10_000))
    with pytest.raises(StoreError) as error:
        publish(data, "new")
    path = f"lake/{first_or_last}/account_id=acme/snapshot_date=2026-03-01/data.parquet"
    assert str(error.value).startswith(f"{lake_url}/{path} can't be written: ")
    assert reason in str(error.value)
    assert ACCESS_KEY not in str(error.value)


def test_readers_see_no_mixture_after_a_fault_that_lasts(hasty, s3, data, table, open_machine):
    s3.faults.append(Fault("status", method="PUT", match=table, times=10_000))
    with pytest.raises(StoreError):
        publish(data, "new")
    position = TABLES.index(table)
    other = open_machine("other")
    assert find_runs(other) == ["new"] * position + ["old"] * (5 - position)
    assert not {"raw_enrollments", "rejected_enrollments"} & {
        name for name, run in find_read_runs(other).items() if run == "new"
    }


def test_the_next_run_repairs_what_was_half_published(s3, data, open_machine, monkeypatch):
    s3.faults.append(Fault("status", method="PUT", match="unified", times=10_000))
    with monkeypatch.context() as patch:
        patch.setattr(conditional_write, "MAX_SECONDS", 0.2)
        with pytest.raises(StoreError):
            publish(data, "new")
    s3.faults.clear()
    publish(open_machine("other"), "next")
    assert find_runs(open_machine("third")) == ["next"] * 5


def test_a_refused_credential_is_not_tried_again(s3, data):
    s3.reset()
    s3.faults.append(Fault("status", method="PUT", match="raw", status=403, code="AccessDenied", times=10_000))
    with pytest.raises(StoreError):
        publish(data, "new")
    assert s3.counts["PUT"] == 1


def test_a_publication_is_one_put_a_table(s3, data):
    s3.reset()
    publish(data, "new")
    assert s3.counts["PUT"] == 5


def test_nothing_is_published_if_what_comes_before_fails(s3, data, open_machine):
    class LostError(LmsPipelineError):
        pass

    def fail():
        raise LostError

    s3.reset()
    with pytest.raises(LostError):
        publish(data, "new", fail)
    assert (s3.counts["PUT"], find_runs(open_machine("other"))) == (0, ["old"] * 5)


def test_another_run_between_two_puts_is_noticed(data, open_machine, table, monkeypatch):
    """The other run publishes all tables just before ours publishes this one."""
    put = bucket.Bucket.put

    def put_later(self, key, *arguments):
        if f"lake/{table}/" in key:
            monkeypatch.setattr(bucket.Bucket, "put", put)
            publish(open_machine("other"), "other")
        return put(self, key, *arguments)

    monkeypatch.setattr(bucket.Bucket, "put", put_later)
    with pytest.raises(PublishedByAnotherError, match=r"was published by another run meanwhile"):
        publish(data, "new")
    read = find_read_runs(open_machine("third"))
    assert set(read.values()) == {"other"}


def test_an_answer_without_an_etag_is_read_back(s3, data, open_machine):
    stored = {table.name: data.store.find(get_key(data, table)) for table in ROWS}
    s3.hides_e_tags = True
    path = data.root / "new"
    path.write_bytes(b"rows")
    data.store.publish(path, get_key(data, COURSES), stored["courses"])
    s3.hides_e_tags = False
    assert data.store.find(get_key(data, COURSES)).size == 4


def test_a_store_without_etags_is_refused(s3, data):
    s3.hides_e_tags = True
    with pytest.raises(UnsafeStoreError, match=r"the store does not name its version \(no ETag\)"):
        publish(data, "new")
    s3.hides_e_tags = False
    assert find_runs(data) == ["old"] * 5


def test_a_store_that_ignores_conditions_is_refused(s3, open_machine, lake_url):
    s3.ignores_conditions = True
    data = open_machine("first")
    with pytest.raises(UnsafeStoreError) as error:
        publish(data, "new")
    assert str(error.value) == (
        f"The store at {lake_url} takes a conditional write that it should refuse: two machines could publish over each other "
        "there. Use one that supports If-None-Match (AWS, GCS, Azure, MinIO, R2)."
    )
    assert [file.key for file in data.store.list_files("lake/")] == [MARKER_KEY]


def test_a_store_that_begins_to_ignore_conditions_is_refused_by_a_new_machine(s3, data, open_machine):
    s3.ignores_conditions = True
    with pytest.raises(UnsafeStoreError):
        publish(open_machine("other"), "new")
    assert find_runs(data) == ["old"] * 5


def test_a_store_is_checked_once_for_a_data_directory(s3, data, lake_url):
    s3.reset()
    another_process = ObjectStore(data.root, bucket.Bucket.open(lake_url), lambda: False)
    new = data.root / "new"
    new.write_bytes(b"rows")
    another_process.publish(new, "lake/new", None)
    assert not [path for _, path in s3.requests if path.endswith(MARKER_KEY)]


MEASURE = """
import sys, threading, time
from pathlib import Path
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.store import StoredFile

def read_anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

root, url = Path(sys.argv[1]), sys.argv[2]
store = open_storage(root, url, None).store
small = root / "small"
small.write_bytes(b"rows")
store.publish(small, "lake/small", None)
before, peak, ended = read_anonymous(), 0, threading.Event()

def watch():
    global peak
    while not ended.is_set():
        peak = max(peak, read_anonymous())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
store.publish(root / "large", "lake/large", None)
ended.set()
watcher.join()
print(peak - before)
"""


def test_a_large_file_is_published_without_memory_of_its_own(s3, lake_url, tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(2**20) * 64)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path, lake_url], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 16 * 1024  # KB
