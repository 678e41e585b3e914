"""The store in a bucket over a store in memory: machines with data directories of their own. It needs obstore."""

import pytest
from obstore.store import MemoryStore

from lms_pipeline.storage.bucket import Bucket
from lms_pipeline.storage.object_store import ObjectStore
from lms_pipeline_tests.support.stored_files import KEY

NEVER = "lake/courses/account_id=c/snapshot_date=2026-01-31/data.parquet"
"""A key of which nothing is stored."""


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


def read(store, key=KEY):
    path = store._root / key
    return path.read_bytes() if path.exists() else None
