"""Responses stored on disk: read by a later attempt, separate by plan, deleted when they are not needed."""

import gzip
import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest

from lms_pipeline.extract import checkpoint as module
from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.extract.checkpoint_file import CheckpointError
from lms_pipeline.truto.store import StoredResponse
from lms_pipeline_tests.support.lake_files import limit_file_size

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 13, tzinfo=UTC)


def build_response(body: bytes = b'{"a": 1}', status: int = 200) -> StoredResponse:
    return StoredResponse(status, NOON, body)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "answers.sqlite"


@pytest.fixture
def checkpoint(path):
    with Checkpoint(path) as checkpoint:
        yield checkpoint


@pytest.mark.parametrize("body", [b"", b"x", b"\x1f\x8b", bytes(range(256)) * 32, bytes(range(256)) * 32 + b"x"])
def test_a_response_is_read_as_it_is_stored(checkpoint, body):
    attempt = checkpoint.begin("plan", NOON)
    attempt.put("key", build_response(body, 404))
    assert attempt.get("key") == StoredResponse(404, NOON, body)
    assert attempt.get("another") is None


BODY = b'{"result":[]}' * 100


@pytest.mark.parametrize("cut", [0, 500], ids=["one member", "two members"])
def test_a_body_in_gzip_is_stored_as_it_came(checkpoint, path, cut):
    packed = b"".join(gzip.compress(part) for part in (BODY[:cut], BODY[cut:]) if part)
    attempt = checkpoint.begin("plan", NOON)
    attempt.put("key", StoredResponse(200, NOON, BODY, packed))
    assert attempt.get("key") == build_response(BODY)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT size, body FROM answers").fetchall() == [(len(BODY), packed)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda: gzip.compress(BODY)[:-9],
        lambda: gzip.compress(BODY + b"x"),
        lambda: gzip.compress(BODY[1:]),
        lambda: b"\x1f\x8b",
    ],
    ids=["cut short", "too long", "too short", "nothing but its mark"],
)
def test_a_damaged_body_in_gzip_is_no_response(checkpoint, damage):
    attempt = checkpoint.begin("plan", NOON)
    attempt.put("key", StoredResponse(200, NOON, BODY, damage()))
    assert attempt.get("key") is None


def test_another_process_resumes_an_interrupted_attempt(checkpoint, path):
    attempt = checkpoint.begin("plan", NOON)
    attempt.put("key", build_response())
    assert attempt.count_request()
    with Checkpoint(path) as reopened:
        resumed = reopened.begin("plan", LATER)
        assert resumed.get("key") == build_response()
        assert (resumed.last_response_at, resumed.started_at, resumed.requests) == (NOON, NOON, 1)


def test_responses_of_another_plan_are_not_found(checkpoint):
    checkpoint.begin("plan", NOON).put("key", build_response())
    other = checkpoint.begin("another plan", NOON)
    assert other.get("key") is None
    assert checkpoint.begin("plan", NOON).get("key") is None


def test_a_finished_attempt_is_not_resumed_and_stays_until_the_next_is_finished(checkpoint):
    first = checkpoint.begin("plan", NOON)
    first.put("key", build_response(b"first"))
    first.finish()
    second = checkpoint.begin("plan", LATER)
    assert second.get("key") is None
    assert [one.is_finished for one in checkpoint.attempts()] == [False, True]
    assert checkpoint.attempts()[1].get("key") == build_response(b"first")
    second.put("key", build_response(b"second"))
    second.finish()
    [last] = checkpoint.attempts()
    assert (last.is_finished, last.get("key")) == (True, build_response(b"second"))
    assert first.get("key") is None


def test_responses_are_deleted_by_the_prefix_of_their_keys(checkpoint):
    attempt = checkpoint.begin("plan", NOON)
    keys = ("list users 1", "list users 2", "list_users", "one list users")
    for key in keys:
        attempt.put(key, build_response())
    attempt.forget("list users")
    assert [key for key in keys if attempt.get(key)] == ["list_users", "one list users"]


def test_requests_of_another_plan_count_for_the_same_snapshot(checkpoint):
    attempt = checkpoint.begin("plan", NOON)
    for _ in range(3):
        attempt.count_request()
    attempt.uncount_request()
    assert checkpoint.begin("other", LATER).requests == 2


def test_requests_are_counted_up_to_a_limit(checkpoint):
    attempt = checkpoint.begin("plan", NOON)
    assert [attempt.count_request(2) for _ in range(4)] == [True, True, False, False]
    assert attempt.requests == 2
    assert attempt.count_request()


def test_a_failed_write_stores_nothing_and_the_next_write_succeeds(checkpoint, path):
    attempt = checkpoint.begin("plan", NOON)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TRIGGER no BEFORE UPDATE ON attempts BEGIN SELECT RAISE(ABORT, 'no more'); END")
        with pytest.raises(CheckpointError, match="no more"):
            attempt.put("key", build_response())
        other.execute("DROP TRIGGER no")
    assert attempt.get("key") is None
    attempt.put("key", build_response())
    assert attempt.get("key") == build_response()


def test_a_file_that_is_no_database_is_an_error_of_one_sentence(path):
    path.parent.mkdir()
    path.write_text("this is no database, and it is long enough to be looked at" * 100)
    with pytest.raises(
        CheckpointError, match=r"^The responses in \S+answers\.sqlite can't be stored or read: file is not"
    ):
        Checkpoint(path)


class TestDiscarding:
    """Responses with which a pull can't succeed give their space back."""

    BODY = hashlib.shake_256(b"1").digest(1_000_000)

    def test_keeps_the_count_of_requests_and_shrinks_the_file(self, checkpoint, path):
        attempt = checkpoint.begin("plan", NOON)
        assert attempt.count_request()
        for number in range(5):
            attempt.put(str(number), build_response(self.BODY))
        attempt.discard()
        assert sum(file.stat().st_size for file in path.parent.iterdir()) < 200_000
        assert checkpoint.begin("plan", LATER).count_responses() == 0
        assert checkpoint.begin("plan", LATER).requests == 1

    def test_keeps_the_responses_of_a_published_snapshot(self, checkpoint):
        published = checkpoint.begin("plan", NOON)
        published.put("key", build_response(b"published"))
        published.finish()
        attempt = checkpoint.begin("plan", LATER)
        attempt.put("key", build_response(self.BODY))
        attempt.discard()
        assert published.get("key") == build_response(b"published")

    def test_removes_the_file_if_the_disk_is_too_full_to_write_in_it(self, checkpoint, path):
        attempt = checkpoint.begin("plan", NOON)
        attempt.put("key", build_response(self.BODY))
        with limit_file_size(1):
            attempt.discard()
        assert list(path.parent.iterdir()) == []

    def test_on_a_disk_too_full_to_write_keeps_a_file_that_can_replay_a_snapshot(self, checkpoint, path):
        published = checkpoint.begin("plan", NOON)
        published.put("key", build_response(b"published"))
        published.finish()
        attempt = checkpoint.begin("plan", LATER)
        attempt.put("key", build_response(self.BODY))
        with limit_file_size(1), pytest.raises(CheckpointError):
            attempt.discard()
        assert published.get("key") == build_response(b"published")


def test_the_bytes_of_responses_are_counted_unpacked_and_for_their_attempt_only(checkpoint):
    first = checkpoint.begin("plan", NOON)
    first.put("key", build_response(bytes(1_000)))
    first.finish()
    second = checkpoint.begin("plan", LATER)
    second.put("key", build_response(bytes(30)))
    second.put("other", build_response(bytes(12)))
    assert (first.measure_responses(), second.measure_responses()) == (1_000, 42)


class TestThreads:
    """Threads that share a checkpoint: their changes are committed together, and each is durable when its call returns."""

    def test_never_count_more_requests_than_the_limit(self, checkpoint):
        attempt = checkpoint.begin("plan", NOON)
        with ThreadPoolExecutor(16) as pool:
            counted = list(pool.map(lambda _: attempt.count_request(100), range(300)))
        assert (counted.count(True), attempt.requests) == (100, 100)

    def test_find_in_the_file_what_they_stored(self, checkpoint, path):
        attempt = checkpoint.begin("plan", NOON)

        def store(number: int) -> tuple[int] | None:
            attempt.put(f"key {number}", build_response())
            with closing(sqlite3.connect(path)) as other:
                found: tuple[int] | None = other.execute(
                    "SELECT status FROM answers WHERE key = ?", (f"key {number}",)
                ).fetchone()
            return found

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(store, range(100))) == {(200,)}
        assert attempt.count_responses() == 100

    def test_commit_once_for_all_that_wait(self, checkpoint):
        attempt = checkpoint.begin("plan", NOON)
        statements: list[str] = []
        with ThreadPoolExecutor(6) as pool:
            with checkpoint.reading() as file:  # nothing is committed meanwhile
                file.set_trace_callback(statements.append)
                results = [pool.submit(attempt.put, f"key {number}", build_response()) for number in range(5)]
                results.append(pool.submit(attempt.count_request))
                while len(checkpoint.changes._waiting) < 5:  # the first call holds a batch of its own
                    pass
            for result in results:
                result.result(60)
        assert statements.count("COMMIT") == 2
        assert (attempt.count_responses(), attempt.requests) == (5, 1)

    def test_each_raise_the_error_of_a_failed_commit(self, checkpoint, path):
        attempt = checkpoint.begin("plan", NOON)
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TRIGGER no BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'no more'); END")

        def store(number: int) -> str:
            with pytest.raises(CheckpointError) as caught:
                attempt.put(f"key {number}", build_response())
            return str(caught.value)

        with ThreadPoolExecutor(8) as pool:
            says = set(pool.map(store, range(40)))
        expected = (
            f"The responses in {path} can't be stored or read: no more; free space and run it again, "
            "or remove the file if it is damaged."
        )
        assert says == {expected}


class TestLookups:
    """A look-up of what is not stored costs no query."""

    @pytest.fixture
    def attempt(self, checkpoint):
        attempt = checkpoint.begin("plan", NOON)
        attempt.put("stored", build_response())
        return attempt

    def count_queries(self, attempt, *keys):
        """Return which of the keys are stored, and the number of queries for them all."""
        statements: list[str] = []
        with attempt.checkpoint.reading() as file:
            file.set_trace_callback(statements.append)
        found = [attempt.get(key) is not None for key in keys]
        return found, len(statements)

    def test_reads_the_keys_once(self, attempt):
        assert self.count_queries(attempt, "other", "third", "fourth", "fifth") == ([False] * 4, 1)

    def test_finds_what_is_stored_later(self, attempt):
        assert attempt.get("later") is None
        attempt.put("later", build_response())
        assert self.count_queries(attempt, "later", "other") == ([True, False], 1)

    def test_finds_what_an_earlier_process_stored(self, attempt, path):
        with Checkpoint(path) as reopened:
            assert self.count_queries(reopened.begin("plan", LATER), "stored", "other") == ([True, False], 2)

    def test_does_not_find_what_was_dropped(self, attempt):
        assert attempt.get("stored") == build_response()
        attempt.forget("sto")
        assert attempt.get("stored") is None

    @pytest.mark.parametrize("stored", ["before the first look-up", "after it"])
    def test_of_more_keys_than_are_held_is_a_query(self, attempt, stored, monkeypatch):
        monkeypatch.setattr(module, "MAX_KNOWN_KEYS", 2)
        if stored == "after it":
            assert attempt.get("other") is None
        for number in range(2):
            attempt.put(f"key {number}", build_response())
        attempt.get("other")
        assert self.count_queries(attempt, "stored", "key 0", "key 1", "other") == ([True, True, True, False], 4)
