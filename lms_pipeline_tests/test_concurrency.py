"""Concurrent calls: the order of their results, and their end."""

from threading import Event

import pytest

from lms_pipeline.concurrency import WaitCancelledError, map_in_order, wait

HOUR = 3_600


def test_results_come_in_the_order_of_the_items_however_late_the_first_is():
    others_are_done = Event()

    def call(item: int) -> int:
        if item == 0:
            assert others_are_done.wait(60)
        if item == 2:
            others_are_done.set()
        return item * 10

    assert list(map_in_order(call, range(5), workers=2)) == [(item, item * 10) for item in range(5)]


def test_no_more_calls_start_than_results_may_be_held():
    started: list[int] = []
    results = map_in_order(started.append, range(1_000), workers=2)
    next(results)
    results.close()
    assert len(started) <= 9


@pytest.mark.parametrize("ends", ["by an error", "by closing the generator"])
def test_waiting_calls_are_cancelled_at_the_end(ends):
    is_waiting = Event()
    cancelled: list[int] = []

    def call(item: int) -> None:
        if item == 0:
            assert is_waiting.wait(60)
            if ends == "by an error":
                raise ValueError("no")
            return
        is_waiting.set()
        try:
            wait(HOUR)
        except WaitCancelledError:
            cancelled.append(item)
            raise

    results = map_in_order(call, range(100), workers=2)
    if ends == "by an error":
        with pytest.raises(ValueError, match="no"):
            next(results)
    else:
        assert next(results) == (0, None)
        results.close()
    assert 1 in cancelled
