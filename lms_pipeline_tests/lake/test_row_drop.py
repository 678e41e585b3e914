"""Which drop is too large to publish."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.lake.row_drop import RowDrop

DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("rows", "previous", "share"),
    [
        *((60, 100, 0.4), (100, 100, 0.0), (120, 100, 0.0), (0, 20, 1.0), (0, 19, 1.0), (0, 1, 1.0), (0, 0, 0.0)),
        *((7, 10, 0.3), (2, 5, 0.6), (4, 5, 0.2)),
        *((1, 4, 0.0), (1, 2, 0.0)),  # too few to compare
    ],
)
def test_the_share_is_relative_to_the_previous_rows(rows, previous, share):
    assert RowDrop(rows, previous, DAY).share == share


@pytest.mark.parametrize(
    ("rows", "previous", "max_drop", "is_refused"),
    [
        *((0, 1, 0.5, True), (0, 4, 0.5, True), (0, 100, 0.5, True)),
        *((0, 1, 1.0, True), (0, 100, 1.0, True), (1, 100, 1.0, False)),
        *((1, 4, 0.5, False), (1, 2, 0.0, False), (3, 4, 0.0, False)),
        *((2, 5, 0.5, True), (3, 5, 0.5, False), (4, 5, 0.0, True), (5, 5, 0.0, False)),
        *((9, 19, 0.5, True), (10, 19, 0.5, False), (10, 20, 0.5, False)),
        *((7, 10, 0.3, False), (6, 10, 0.3, True)),  # 1 - 7 / 10 is above 0.3
        *((0, 0, 0.0, False), (5, 0, 0.0, False)),
    ],
)
def test_a_drop_is_refused_above_max_drop_from_five_rows_on_and_to_none_always(rows, previous, max_drop, is_refused):
    assert RowDrop(rows, previous, DAY).is_too_large(max_drop) is is_refused


@given(rows=st.integers(0, 10**7), previous=st.integers(0, 10**7), hundredths=st.integers(0, 100))
def test_whole_hundredths_are_compared_exactly(rows, previous, hundredths):
    drops_to_none = rows == 0 and previous > 0
    drops_by_more = previous >= 5 and 100 * (previous - rows) > hundredths * previous
    assert RowDrop(rows, previous, DAY).is_too_large(hundredths / 100) is (drops_to_none or drops_by_more)
