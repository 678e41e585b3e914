"""Instants as they are served, and what is kept of them."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.sandbox.synthetic.instants import NEVER, instant_of
from lms_pipeline.sandbox.synthetic.kept import Kept


@given(st.integers(1, 4_102_444_799))  # until the end of 2099
def test_an_instant_is_served_as_its_date_and_time_in_utc(seconds):
    assert instant_of(seconds) == datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_instant_that_does_not_come_is_not_served():
    assert instant_of(NEVER) is None


def test_what_is_kept_is_made_once_until_there_is_too_much():
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        return number**2

    squares = Kept(square, most=3)
    assert [squares[number] for number in (1, 2, 1, 3, 2, 4, 1)] == [1, 4, 1, 9, 4, 16, 1]
    assert made == [1, 2, 3, 4, 1]
    assert len(squares) == 2
