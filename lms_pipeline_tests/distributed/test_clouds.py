"""The store in each cloud that has a stand-in: S3 by moto behind a front, Azure by Azurite, whose conditions are its own."""

import threading
from itertools import count

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.store import PublishedByAnotherError, StoreError
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE
from lms_pipeline_tests.support.stored_files import KEY, OTHER_KEY, publish

__all__ = ["publish"]

pytestmark = pytest.mark.distributed

ACME = Partition("acme", FIRST)
MACHINES = 8
ORDER = [*(table for table in PULLED_TABLES if table != UNIFIED_ENROLLMENTS), UNIFIED_ENROLLMENTS]

_numbers = count()


@pytest.fixture(params=["lake_url", "azure_url"], ids=["s3", "az"])
def url(request):
    """The address of an empty bucket of each cloud."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def azure_url(azurite, monkeypatch):
    """The address of an empty container of Azure."""
    for name, value in azurite.environment.items():
        monkeypatch.setenv(name, value)
    container = f"lms-{next(_numbers)}"
    azurite.create_container(container)
    return f"az://{container}/installation"


@pytest.fixture
def open_machine(tmp_path, url):
    """Opens the data directory of a machine."""

    def opened(name):
        return DataDir(tmp_path / name, open_storage(tmp_path / name, url, None))

    return opened


@pytest.fixture
def store(open_machine):
    return open_machine("first").store


def test_a_published_file_reaches_another_machine(store, publish, open_machine, url):
    publish(store, b"rows")
    publish(store, b"more rows")
    other = open_machine("other")
    other.store.fetch([KEY, OTHER_KEY])
    assert (other.root / KEY).read_bytes() == b"more rows"
    assert store.describe(KEY) == f"{url}/{KEY}"


def test_a_stale_publication_is_refused(store, publish, open_machine):
    publish(store, b"rows")
    seen = store.find(KEY)
    publish(open_machine("other").store, b"rows of the other")
    for stale in (seen, None):
        with pytest.raises(PublishedByAnotherError):
            publish(store, b"more rows", seen=stale)


def test_a_publication_over_a_removed_file_is_refused(store, publish):
    publish(store, b"rows")
    seen = store.find(KEY)
    store.remove(KEY)
    with pytest.raises(PublishedByAnotherError):
        publish(store, b"more rows", seen=seen)


def test_a_listing_says_the_same_as_a_request_for_one_file(store, publish):
    publish(store, b"rows")
    publish(store, b"other", OTHER_KEY)
    listed = list(store.list_files("lake/courses/"))
    assert [file.signature for file in listed] == [store.find(key).signature for key in (KEY, OTHER_KEY)]
    assert store.list_folders("lake/courses/") == ["account_id=a", "account_id=b"]


def test_a_listed_file_can_be_read_and_replaced(store, publish):
    publish(store, b"0123456789")
    (listed,) = store.list_files("lake/courses/")
    assert store.read_range(listed, 2, 3) == b"234"
    publish(store, b"9876543210", seen=listed)
    with pytest.raises(StoreError):
        store.read_range(listed, 2, 3)


def test_a_removed_file_is_gone(store, publish):
    publish(store, b"rows")
    store.remove(KEY)
    store.remove(KEY)
    assert (store.find(KEY), list(store.list_files("lake/courses/"))) == (None, [])


def test_a_sent_file_replaces_what_is_stored(store, open_machine):
    root = open_machine("first").root
    for content in (b"answers", b"", b"x" * 100_000):
        new = root / "new"
        root.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content)
        store.send(new, "answers/a.sqlite")
        assert store.find("answers/a.sqlite").size == len(content)


def publish_pull(data, run_id, before_publishing=lambda: None):
    with Publication(data, ACME, run_id, before_publishing=before_publishing) as publication:
        files = []
        for table in ORDER:
            with publication.open(table) as file:
                file.close({**PROVENANCE, "run_id": run_id})
            files.append((file, ()))
        publication.publish(files)


@pytest.mark.parametrize("is_first", [True, False], ids=["first publication", "replacement"])
def test_of_machines_that_publish_at_once_one_does(is_first, open_machine):
    if not is_first:
        publish_pull(open_machine("before"), "before")
    barrier = threading.Barrier(MACHINES)
    refused: list[str] = []

    def run(name):
        try:
            publish_pull(open_machine(name), name, barrier.wait)
        except PublishedByAnotherError:
            refused.append(name)

    names = [f"machine-{number}" for number in range(MACHINES)]
    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = set(names) - set(refused)
    last = open_machine("last")
    keys = [last.get_key(last.file(table, ACME)) for table in ORDER]
    last.store.fetch(keys)
    assert [read_metadata(last.root / key)["run_id"] for key in keys] == [winner] * 5
