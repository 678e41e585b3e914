"""Answers kept on disk: found again, kept apart, and gone when nobody needs them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from lms_pipeline.extract.checkpoint import Checkpoint, CheckpointError
from lms_pipeline.truto.store import StoredResponse

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 13, tzinfo=UTC)


def answer(body: bytes = b'{"a": 1}', status: int = 200) -> StoredResponse:
    return StoredResponse(status, NOON, body)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "answers.sqlite"


@pytest.fixture
def answers(path):
    with Checkpoint(path) as answers:
        yield answers


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 1_000])
def test_an_answer_is_found_as_it_was_kept(answers, body):
    attempt = answers.begin("plan", NOON)
    attempt.put("key", answer(body, 404))
    assert attempt.get("key") == StoredResponse(404, NOON, body)
    assert attempt.get("another") is None


def test_an_attempt_that_was_left_off_goes_on_in_another_process(answers, path):
    attempt = answers.begin("plan", NOON)
    attempt.put("key", answer())
    assert attempt.count_request()
    with Checkpoint(path) as again:
        resumed = again.begin("plan", LATER)
        assert resumed.get("key") == answer()
        assert (resumed.last_response_at, resumed.started_at, resumed.requests) == (NOON, NOON, 1)


def test_answers_to_another_plan_are_never_found(answers):
    answers.begin("plan", NOON).put("key", answer())
    other = answers.begin("another plan", NOON)
    assert other.get("key") is None
    assert answers.begin("plan", NOON).get("key") is None


def test_a_finished_attempt_is_not_gone_on_with_and_stays_until_the_next_is_finished(answers):
    first = answers.begin("plan", NOON)
    first.put("key", answer(b"first"))
    first.finish()
    second = answers.begin("plan", LATER)
    assert second.get("key") is None
    assert [one.is_finished for one in answers.attempts()] == [False, True]
    assert answers.attempts()[1].get("key") == answer(b"first")
    second.put("key", answer(b"second"))
    second.finish()
    [last] = answers.attempts()
    assert (last.is_finished, last.get("key")) == (True, answer(b"second"))
    assert first.get("key") is None


def test_answers_are_forgotten_by_the_beginning_of_their_keys(answers):
    attempt = answers.begin("plan", NOON)
    for key in ("list users 1", "list users 2", "list_users", "one list users"):
        attempt.put(key, answer())
    attempt.forget("list users")
    assert [attempt.get(key) is None for key in ("list users 1", "list users 2")] == [True, True]
    assert attempt.count() == 2


def test_requests_of_another_plan_were_sent_for_the_same_snapshot(answers):
    attempt = answers.begin("plan", NOON)
    for _ in range(3):
        attempt.count_request()
    attempt.uncount_request()
    assert answers.begin("other", LATER).requests == 2


def test_requests_are_counted_up_to_a_limit_and_no_further(answers):
    attempt = answers.begin("plan", NOON)
    assert [attempt.count_request(2) for _ in range(4)] == [True, True, False, False]
    assert attempt.requests == 2
    assert attempt.count_request()


def test_what_fails_half_way_leaves_nothing_and_the_next_is_kept(answers, path):
    attempt = answers.begin("plan", NOON)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TRIGGER no BEFORE UPDATE ON attempts BEGIN SELECT RAISE(ABORT, 'no more'); END")
        with pytest.raises(CheckpointError, match="no more"):
            attempt.put("key", answer())
        other.execute("DROP TRIGGER no")
    assert attempt.get("key") is None
    attempt.put("key", answer())
    assert attempt.get("key") == answer()


def test_a_file_that_is_none_is_one_sentence(path):
    path.parent.mkdir()
    path.write_text("this is no database, and it is long enough to be looked at" * 100)
    with pytest.raises(
        CheckpointError, match=r"^The responses in \S+answers\.sqlite can't be stored or read: file is not"
    ):
        Checkpoint(path)
