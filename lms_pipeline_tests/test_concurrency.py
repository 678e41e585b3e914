"""Calls on their way together: their order, and their end."""

from threading import Event

import pytest

from lms_pipeline.concurrency import WaitCancelledError, map_in_order, wait

HOUR = 3_600


def test_answers_come_in_the_order_of_the_items_however_late_the_first_is():
    others_are_done = Event()

    def ask(item: int) -> int:
        if item == 0:
            assert others_are_done.wait(60)
        if item == 2:
            others_are_done.set()
        return item * 10

    assert list(map_in_order(ask, range(5), workers=2)) == [(item, item * 10) for item in range(5)]


def test_no_more_calls_are_begun_than_their_answers_may_wait():
    begun: list[int] = []
    answers = map_in_order(begun.append, range(1_000), workers=2)
    next(answers)
    answers.close()
    assert len(begun) <= 9


@pytest.mark.parametrize("ends", ["by an error", "by whoever reads"])
def test_calls_that_wait_for_their_turn_are_called_off_at_the_end(ends):
    is_waiting = Event()
    called_off: list[int] = []

    def ask(item: int) -> None:
        if item == 0:
            assert is_waiting.wait(60)
            if ends == "by an error":
                raise ValueError("no")
            return
        is_waiting.set()
        try:
            wait(HOUR)
        except WaitCancelledError:
            called_off.append(item)
            raise

    answers = map_in_order(ask, range(100), workers=2)
    if ends == "by an error":
        with pytest.raises(ValueError, match="no"):
            next(answers)
    else:
        assert next(answers) == (0, None)
        answers.close()
    assert 1 in called_off
