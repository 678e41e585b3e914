"""The store that counts a snapshot's bytes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.extract.volume import BoundedStore, VolumeSpentError
from lms_pipeline.lake.space import SpaceShortError, allow_any_size
from lms_pipeline.truto.store import StoredResponse

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def build_response(size):
    return StoredResponse(200, NOON, bytes(size))


@pytest.fixture
def attempt(tmp_path):
    with Checkpoint(tmp_path / "answers.sqlite") as checkpoint:
        yield checkpoint.begin("plan", NOON)


def open_store(attempt, check_space=allow_any_size):
    return BoundedStore(attempt, "acme", 1e-6, check_space)  # 1,000 bytes


def test_responses_up_to_the_bound_are_stored(attempt):
    store = open_store(attempt)
    store.put("one", build_response(400))
    store.put("two", build_response(600))
    assert store.get("two") == build_response(600)


def test_a_response_beyond_the_bound_is_an_error_and_not_stored(attempt):
    store = open_store(attempt)
    store.put("one", build_response(400))
    with pytest.raises(VolumeSpentError) as caught:
        store.put("two", build_response(601))
    assert attempt.count_responses() == 1
    assert str(caught.value) == (
        "The responses for a snapshot of acme have more than 1e-06 GB: find out why the account sends so much, or raise "
        "max_gigabytes for it in LMS_ACCOUNTS_FILE."
    )


def test_responses_of_an_earlier_process_count(attempt):
    open_store(attempt).put("one", build_response(400))
    with pytest.raises(VolumeSpentError):
        open_store(attempt).put("two", build_response(601))


def test_responses_of_several_threads_count_together(attempt):
    store = open_store(attempt)
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(store.put, str(number), build_response(100)) for number in range(12)]
    assert sum(isinstance(one.exception(), VolumeSpentError) for one in done) == 2
    assert attempt.count_responses() == 10


def test_a_response_for_which_the_disk_has_no_space_is_not_stored(attempt):
    def check_space(size):
        if size > 500:
            raise SpaceShortError

    store = open_store(attempt, check_space)
    store.put("one", build_response(400))
    with pytest.raises(SpaceShortError):
        store.put("two", build_response(501))
    assert attempt.count_responses() == 1


def test_responses_that_were_removed_do_not_count_after_a_recount(attempt):
    store = open_store(attempt)
    store.put("list 1", build_response(700))
    store.put("other", build_response(300))
    attempt.forget("list ")
    store.recount()
    store.put("list 1", build_response(700))
    with pytest.raises(VolumeSpentError):
        store.put("list 2", build_response(1))
