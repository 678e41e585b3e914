"""Checkpoints in a bucket that speaks S3: another machine has all responses, whatever the network does."""

from datetime import UTC, date, datetime

import pytest

from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.extract.checkpoint_copies import CheckpointCopies
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.pull_files import CheckpointPlace, find_responses
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.truto.store import StoredResponse

pytestmark = pytest.mark.distributed

ACME = Partition("acme", date(2026, 3, 1))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "answers/snapshot_date=2026-03-01/account_id=acme.sqlite"
SIZE = 300_000
"""Bytes of a response, so that an answer with the checkpoint has several chunks."""


class Machine:
    """A machine with a data directory of its own."""

    def __init__(self, root, lake_url):
        self.data = DataDir(root, open_storage(root, lake_url, None))

    def pull(self, *keys):
        """Store responses under these keys, and return the keys that were stored before."""
        place = CheckpointPlace.of(self.data, ACME)
        with CheckpointCopies(place, lambda: None) as copies, Checkpoint(place.path) as checkpoint:
            with checkpoint.reading() as file:
                found = [key for (key,) in file.execute("SELECT key FROM answers ORDER BY key")]
            with copies.follow(checkpoint):
                attempt = checkpoint.begin("plan", NOON)
                for key in keys:
                    attempt.put(key, StoredResponse(200, NOON, key.encode() * SIZE))
                copies.prepare_publishing()
        return found


@pytest.fixture
def first(tmp_path, lake_url):
    return Machine(tmp_path / "first", lake_url)


@pytest.fixture
def second(tmp_path, lake_url):
    return Machine(tmp_path / "second", lake_url)


def test_machines_continue_one_after_the_other(first, second):
    assert first.pull("a") == []
    assert second.pull("b") == ["a"]
    assert first.pull("c") == ["a", "b"]
    assert [found.path for found in find_responses(first.data)] == [first.data.root / KEY]


@pytest.mark.parametrize(
    ("action", "method", "is_done"),
    [("status", "PUT", False), ("cut", "PUT", False), ("cut", "PUT", True), ("cut", "GET", False)],
)
def test_a_fault_of_the_network_loses_no_response(s3, first, second, action, method, is_done):
    from lms_pipeline_tests.distributed.s3_front import Fault

    s3.faults.append(Fault(action, method=method, match="acme.sqlite", is_done=is_done))
    first.pull("a")
    assert second.pull() == ["a"]
    assert all(fault.times == 0 for fault in s3.faults)
