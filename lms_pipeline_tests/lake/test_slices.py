"""Slices by bytes: all rows in their order, none larger than the limit but a row that is larger itself."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.slices import iter_slices


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 500))
def test_hold_all_rows_within_the_limit(sizes, limit):
    rows = pa.table({"text": pa.array(["x" * size for size in sizes], pa.string()), "number": range(len(sizes))})
    slices = list(iter_slices(rows, limit))
    assert [number for one in slices for number in one.column("number").to_pylist()] == list(range(len(sizes)))
    assert all(one.nbytes <= limit or one.num_rows == 1 for one in slices)


def test_of_rows_within_the_limit_are_the_rows_themselves():
    rows = pa.RecordBatch.from_pydict({"text": ["a", "b"]})
    assert list(iter_slices(rows, 1_000)) == [rows]
