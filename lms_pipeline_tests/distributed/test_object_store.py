"""Publications into a bucket whose store fails: everything is published, or there is one sentence and nothing half."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.storage import bucket, conditional_write
from lms_pipeline.storage.object_store import ObjectStore
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.store import PublishedByAnotherError, StoreError, UnsafeStoreError
from lms_pipeline.storage.store_marker import MARKER_KEY
from lms_pipeline.tables.pulled import COURSES, LEARNERS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.distributed.s3_front import ACCESS_KEY, Fault
from lms_pipeline_tests.distributed.services import find_free_port
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE, batch, enrollment

pytestmark = pytest.mark.distributed

ACME = Partition("acme", FIRST)
ROWS = {
    RAW_ENROLLMENTS: {"payload": "{}"},
    REJECTED_ENROLLMENTS: {"payload": "{}"},
    LEARNERS: {"user_id": "u"},
    COURSES: {"course_id": "c"},
    UNIFIED_ENROLLMENTS: enrollment("u"),
}
"""The tables in the order of their publication."""
TABLES = [table.name for table in ROWS]
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Shorten the waits between tries: obstore makes two more at once, and a publication has 1.5 s."""
    backoff = {"init_backoff": MILLISECOND, "max_backoff": MILLISECOND, "base": 2}
    monkeypatch.setattr(
        bucket, "RETRIES", {"max_retries": 2, "retry_timeout": timedelta(seconds=5), "backoff": backoff}
    )
    for name, seconds in (("MIN_PAUSE_SECONDS", 0.001), ("MAX_PAUSE_SECONDS", 0.01), ("MAX_SECONDS", 1.5)):
        monkeypatch.setattr(conditional_write, name, seconds)


@pytest.fixture
def impatient(monkeypatch):
    """A request has half a second; it stands before the fixtures that open a machine."""
    monkeypatch.setattr(bucket, "TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def open_machine(tmp_path, lake_url):
    """Opens the data directory of a machine."""

    def opened(name):
        return DataDir(tmp_path / name, open_storage(tmp_path / name, lake_url, None))

    return opened


@pytest.fixture
def data(open_machine):
    """The data directory of a machine that has published once, as the run `old`."""
    data = open_machine("first")
    publish(data, "old")
    return data


def publish(data, run_id, before_publishing=lambda: None):
    with Publication(data, ACME, run_id, before_publishing=before_publishing) as publication:
        files = []
        for table, row in ROWS.items():
            with publication.open(table) as file:
                file.write(batch(table, row))
                file.close({**PROVENANCE, "run_id": run_id})
            files.append((file, ()))
        publication.publish(files)


def get_key(data, table):
    return data.get_key(data.file(table, ACME))


def find_runs(data):
    """Return the runs of the stored tables, in the order of their publication, as a machine without copies sees them."""
    data.store.fetch([get_key(data, table) for table in ROWS])
    paths = [data.file(table, ACME) for table in ROWS]
    return [read_metadata(path)["run_id"] if path.exists() else None for path in paths]


def find_read_runs(data):
    """Return the runs of the tables that readers take, by table."""
    find_runs(data)
    return {
        table.name: read_metadata(path)["run_id"] for table in ROWS for _, path in find_committed(data, table, [ACME])
    }


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


def build_fault(fault, **more):
    """Return a fault as it is before it strikes."""
    names = ("action", "times", "is_done", "status", "code")
    return Fault(**{**{name: getattr(fault, name) for name in names}, **more})


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_delays_a_table(fault, first_or_last, s3, data, open_machine):
    s3.faults.append(build_fault(fault, method="PUT", match=first_or_last))
    publish(data, "new")
    assert find_runs(open_machine("other")) == ["new"] * 5


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
def test_a_request_without_an_answer_delays_a_table(is_done, table, impatient, s3, data, open_machine):
    s3.faults.append(Fault("hang", method="PUT", match=table, is_done=is_done))
    publish(data, "new")
    assert find_runs(open_machine("other")) == ["new"] * 5


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_delays_a_first_publication(fault, s3, open_machine):
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
def test_a_fault_that_lasts_is_one_sentence(fault, reason, s3, data, first_or_last, lake_url):
    s3.faults.append(build_fault(fault, method="PUT", match=first_or_last, times=10_000))
    with pytest.raises(StoreError) as error:
        publish(data, "new")
    path = f"lake/{first_or_last}/account_id=acme/snapshot_date=2026-03-01/data.parquet"
    assert str(error.value).startswith(f"{lake_url}/{path} can't be written: ")
    assert reason in str(error.value)
    assert ACCESS_KEY not in str(error.value)


def test_readers_see_no_mixture_after_a_fault_that_lasts(s3, data, table, open_machine):
    s3.faults.append(Fault("status", method="PUT", match=table, times=10_000))
    with pytest.raises(StoreError):
        publish(data, "new")
    position = TABLES.index(table)
    other = open_machine("other")
    assert find_runs(other) == ["new"] * position + ["old"] * (5 - position)
    assert not {"raw_enrollments", "rejected_enrollments"} & {
        name for name, run in find_read_runs(other).items() if run == "new"
    }


def test_the_next_run_repairs_what_was_half_published(s3, data, open_machine):
    s3.faults.append(Fault("status", method="PUT", match="unified", times=10_000))
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
def many(s3, data, lake_url):
    """1,001 more objects, which are two pages of a listing."""
    name = lake_url.removeprefix("s3://").partition("/")[0]
    s3.fill(name, [f"installation/lake/many/{number:04}" for number in range(1_001)])


def test_a_listing_has_all_pages(many, data):
    assert len(list(data.store.list_files("lake/many/"))) == 1_001


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
