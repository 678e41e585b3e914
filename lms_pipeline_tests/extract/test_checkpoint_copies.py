"""Copies of a checkpoint in a bucket: another machine continues with them, whatever ended the pull."""

import logging
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, date, datetime
from threading import Event, Semaphore
from unittest.mock import Mock

import pytest

from lms_pipeline import concurrency
from lms_pipeline.errors import LakeError, LmsPipelineError
from lms_pipeline.extract import checkpoint_copies as module
from lms_pipeline.extract.checkpoint import Checkpoint, use_checkpoint
from lms_pipeline.extract.checkpoint_copies import CheckpointCopies
from lms_pipeline.extract.checkpoint_file import DamagedCheckpointError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.pull_files import CheckpointPlace
from lms_pipeline.storage.store import StoreError
from lms_pipeline.truto.store import StoredResponse
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket

ACME = Partition("acme", date(2026, 3, 1))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "answers/snapshot_date=2026-03-01/account_id=acme.sqlite"
RESPONSE = StoredResponse(200, NOON, b"{}")
NEVER = 3_600.0
"""An interval in which no test ends."""
SOON = 0.001
MAX_SECONDS = 30.0


class LostLockError(LmsPipelineError):
    """The lock is lost."""


class WatchedBucket(FolderBucket):
    """A bucket that tells when a copy was sent, and can fail."""

    def __init__(self, scratch, folder):
        super().__init__(scratch, folder)
        self.sent = Semaphore(0)
        self.failures = 0

    def send(self, new, key):
        if self.failures:
            self.failures -= 1
            self.sent.release()
            raise StoreError("The store does not answer.")
        super().send(new, key)
        self.sent.release()

    def wait_for_copy(self):
        assert self.sent.acquire(timeout=MAX_SECONDS)


@pytest.fixture
def bucket(tmp_path):
    return WatchedBucket(tmp_path / "scratch", tmp_path / "bucket")


@pytest.fixture
def place(tmp_path, bucket):
    return CheckpointPlace.of(open_in_bucket(tmp_path / "scratch", bucket), ACME)


@pytest.fixture
def elsewhere(tmp_path):
    """The same checkpoint on another machine."""
    other = tmp_path / "other"
    return CheckpointPlace.of(open_in_bucket(other, FolderBucket(other, tmp_path / "bucket")), ACME)


def is_held():
    """Find the lock held."""


def pull(place, *keys, seconds=NEVER, during=lambda _copies: None, check_lock=is_held):
    """Store responses under these keys, as a pull does, and return those that were there before."""
    with CheckpointCopies(place, check_lock, seconds) as copies, Checkpoint(place.path) as checkpoint:
        found = list_keys(checkpoint)
        with copies.follow(checkpoint):
            attempt = checkpoint.begin("plan", NOON)
            for key in keys:
                attempt.put(key, RESPONSE)
            during(copies)
    return found


def list_keys(checkpoint):
    with checkpoint.reading() as file:
        return [key for (key,) in file.execute("SELECT key FROM answers ORDER BY key")]


def read_stored(tmp_path):
    """Check the stored copy as a whole, and return the keys of its responses."""
    with closing(sqlite3.connect(tmp_path / "bucket" / KEY)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [key for (key,) in file.execute("SELECT key FROM answers ORDER BY key")]


def end_with(error):
    def end(_copies):
        raise error

    return end


def test_another_machine_continues_with_the_responses(place, elsewhere):
    assert pull(place, "a", "b") == []
    assert pull(elsewhere, "c") == ["a", "b"]
    assert pull(place) == ["a", "b", "c"]


@pytest.mark.parametrize("error", [LakeError("The pull failed."), KeyboardInterrupt(), MemoryError()])
def test_another_machine_continues_after_any_error(place, elsewhere, error):
    with suppress(type(error)):
        pull(place, "a", "b", during=end_with(error))
    assert pull(elsewhere) == ["a", "b"]


def test_a_pull_sends_one_copy_at_its_end(place, bucket):
    pull(place, "a", "b")
    assert bucket.requests["PUT"] == 1


def test_nothing_is_sent_where_nothing_came(place, bucket):
    pull(place, "a")
    with (
        CheckpointCopies(place, is_held, NEVER) as copies,
        Checkpoint(place.path) as checkpoint,
        copies.follow(checkpoint),
    ):
        copies.prepare_publishing()
    assert bucket.requests["PUT"] == 1


def test_the_store_has_everything_before_a_snapshot_is_published(tmp_path, place):
    def publish(copies):
        copies.prepare_publishing()
        assert read_stored(tmp_path) == ["a", "b"]

    pull(place, "a", "b", during=publish)


def test_copies_are_sent_while_responses_come(tmp_path, place, bucket):
    with (
        CheckpointCopies(place, is_held, SOON) as copies,
        Checkpoint(place.path) as checkpoint,
        copies.follow(checkpoint),
    ):
        attempt = checkpoint.begin("plan", NOON)
        bucket.wait_for_copy()
        for key in ("a", "b"):
            attempt.put(key, RESPONSE)
            while key not in read_stored(tmp_path):
                bucket.wait_for_copy()


def test_copies_are_whole_while_threads_write(tmp_path, place, bucket):
    with (
        CheckpointCopies(place, is_held, SOON) as copies,
        Checkpoint(place.path) as checkpoint,
        copies.follow(checkpoint),
    ):
        attempt, ended = checkpoint.begin("plan", NOON), Event()
        bucket.wait_for_copy()

        def write(thread):
            number = 0
            while not ended.is_set():
                attempt.put(f"{thread} {number:06}", RESPONSE)
                number += 1

        with ThreadPoolExecutor(4) as pool, ExitStack() as stack:
            stack.callback(ended.set)
            writers = [pool.submit(write, thread) for thread in range(4)]
            for _ in range(10):
                bucket.wait_for_copy()
                keys = read_stored(tmp_path)
                for thread in range(4):  # what one thread stored earlier is in the copy with what it stored later
                    own = [key for key in keys if key.startswith(f"{thread} ")]
                    assert own == [f"{thread} {number:06}" for number in range(len(own))]
        for writer in writers:
            writer.result()


def test_a_copy_that_fails_meanwhile_is_logged_and_sent_at_the_next_interval(place, bucket, elsewhere, caplog):
    bucket.failures = 2

    def wait(_copies):
        for _ in range(3):
            bucket.wait_for_copy()

    pull(place, "a", seconds=SOON, during=wait)
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert (
        messages
        == [
            f"The stored responses are not copied to s3://bucket/{KEY}, and it is tried again. The store does not answer."
        ]
        * 2
    )
    assert pull(elsewhere) == ["a"]


def test_a_copy_that_fails_before_publishing_stops_the_pull(place, bucket):
    bucket.failures = 1
    with pytest.raises(StoreError):
        pull(place, "a", during=lambda copies: copies.prepare_publishing())


def test_a_last_copy_that_fails_is_logged_and_fails_no_pull_that_succeeded(place, bucket, caplog):
    bucket.failures = 1
    pull(place, "a")
    assert "another pull of the day elsewhere may repeat the calls since the last copy" in caplog.text


def test_a_last_copy_that_fails_does_not_hide_why_the_pull_failed(place, bucket):
    bucket.failures = 1
    with pytest.raises(LakeError, match=r"^The pull failed\.$"):
        pull(place, "a", during=end_with(LakeError("The pull failed.")))


@pytest.mark.parametrize("stored", [[], ["a"]])
def test_this_machine_continues_with_what_it_could_not_send(place, bucket, stored):
    if stored:
        pull(place, *stored)
    bucket.failures = 1
    pull(place, "b")
    assert pull(place) == [*stored, "b"]


def test_what_another_machine_added_meanwhile_counts_more_than_what_could_not_be_sent(place, bucket, elsewhere):
    bucket.failures = 1
    pull(place, "a")
    pull(elsewhere, "b")
    assert pull(place) == ["b"]


def test_no_file_stays_on_a_machine_whose_pull_ended(tmp_path, place):
    pull(place, "a")
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def raise_lost():
    raise LostLockError("The lock is lost.")


def test_nothing_is_sent_once_the_lock_is_lost(place, bucket):
    pull(place, "a", check_lock=raise_lost)
    with pytest.raises(LakeError, match="failed"):
        pull(place, "a", check_lock=raise_lost, during=end_with(LakeError("The pull failed.")))
    assert bucket.requests["PUT"] == 0


@pytest.mark.parametrize("kind", ["disk", "bucket"])
def test_nothing_is_published_once_the_lock_is_lost(tmp_path, place, kind):
    lost = LostLockError("The lock is lost.")
    check_lock = Mock(side_effect=[None, lost])  # the first one is that of the copy
    if kind == "disk":
        place, check_lock.side_effect = CheckpointPlace.of(DataDir(tmp_path / "disk"), ACME), lost
    with pytest.raises(LostLockError):
        pull(place, "a", check_lock=check_lock, during=lambda copies: copies.prepare_publishing())


@pytest.mark.parametrize(("bytes_", "expected"), [(0, 300), (10**9, 30)])
def test_a_large_checkpoint_is_sent_every_five_minutes(monkeypatch, place, bytes_, expected):
    monkeypatch.setattr(module, "LARGE_BYTES", bytes_)
    waits = []

    class EndedEvent(Event):
        def wait(self, timeout=None):
            waits.append(round(timeout))
            return True

    monkeypatch.setattr(concurrency, "Event", EndedEvent)
    pull(place, "a", seconds=30)
    assert waits == [expected]


@pytest.mark.parametrize(("lasted", "expected"), [(0, 30), (5, 20), (10, 15), (40, 40)])
def test_a_copy_ends_one_interval_after_the_last_one_began_or_waits_as_long_as_that_took(
    monkeypatch, place, lasted, expected
):
    waits = []

    class EndedEvent(Event):
        def wait(self, timeout=None):
            waits.append(round(timeout))
            return len(waits) == 2

    monkeypatch.setattr(concurrency, "Event", EndedEvent)
    monkeypatch.setattr(module, "time", Mock(monotonic=Mock(side_effect=[100.0, 100.0 + lasted])))
    pull(place, "a", seconds=30)
    assert waits == [30, expected]


def test_the_copy_of_a_checkpoint_that_was_given_up_is_removed(tmp_path, place):
    pull(place, "a")
    with (
        CheckpointCopies(place, is_held, NEVER) as copies,
        Checkpoint(place.path) as checkpoint,
        copies.follow(checkpoint),
    ):
        checkpoint.remove()
    assert not (tmp_path / "bucket" / KEY).exists()


def test_a_damaged_checkpoint_does_not_replace_its_copy(tmp_path, place):
    pull(place, "a")
    with pytest.raises(DamagedCheckpointError):
        pull(place, "b", during=end_with(DamagedCheckpointError("It is damaged.")))
    assert read_stored(tmp_path) == ["a"]


def damage(path):
    path.write_bytes(b"not a database, and long enough to be read as one".ljust(4_096))


def continue_damaged(place):
    """Continue a pull whose local file is damaged; return the responses with which it begins."""
    with CheckpointCopies(place, is_held, NEVER) as copies:

        def use(checkpoint):
            with copies.follow(checkpoint):
                return list_keys(checkpoint)

        damage(place.path)
        return use_checkpoint(place.path, use, "it is fetched again", copies.fetch_again)


def test_a_damaged_file_is_replaced_by_its_copy(tmp_path, place):
    pull(place, "a", "b")
    assert continue_damaged(place) == ["a", "b"]
    assert read_stored(tmp_path) == ["a", "b"]


def test_a_damaged_file_with_a_damaged_copy_is_begun_again(tmp_path, place):
    pull(place, "a")
    damage(tmp_path / "bucket" / KEY)
    assert continue_damaged(place) == []


def test_a_disk_costs_no_thread_and_no_copy(monkeypatch, tmp_path):
    started: list[object] = []
    monkeypatch.setattr(concurrency, "Thread", started.append)
    monkeypatch.setattr(Checkpoint, "copy_to", started.append)
    place = CheckpointPlace.of(DataDir(tmp_path), ACME)
    assert pull(place, "a", during=lambda copies: copies.prepare_publishing()) == []
    assert pull(place) == ["a"]
    assert started == []
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["snapshot_date=2026-03-01.sqlite"]


def test_a_copy_is_sent_again_after_the_object_was_lost(tmp_path, place, elsewhere):
    pull(place, "a")
    shutil.rmtree(tmp_path / "bucket")
    assert pull(place, "b") == []
    assert pull(elsewhere) == ["b"]


def test_a_small_pull_makes_few_requests(place, bucket):
    pull(place, "a", during=lambda copies: copies.prepare_publishing())
    with CheckpointCopies(place, is_held) as copies, Checkpoint(place.path) as checkpoint, copies.follow(checkpoint):
        checkpoint.attempts()[0].finish()
    methods = [method for method, _ in bucket.log]
    assert methods == ["HEAD", "PUT", "HEAD", "HEAD", "GET", "PUT", "HEAD"]
