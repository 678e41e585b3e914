"""One enrollment on two pages: both are flattened, one is stored, and the counts add up."""

import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake.files import TableFile
from lms_pipeline.tables.pulled import KEYS, UNIFIED_ENROLLMENTS
from lms_pipeline.transform import dedupe
from lms_pipeline.transform.enrollments import EnrollmentFlattener
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline_tests.support.served_records import NOON, read_records


def enrollment(number, learner, course="c1", **fields):
    return {"id": number, "user": {"id": learner}, "course": {"id": course}} | fields


PAGES = {
    "enrollment_id": [
        [enrollment("e1", "u1", score=1), enrollment("e2", "u2"), enrollment(None, None)],
        [
            enrollment("e1", "u1", score="1.0"),
            enrollment("e3", "u2", score=5),
            enrollment("e2", "u2", progress_percent=9),
        ],
    ],
    "pair": [
        [enrollment("e1", "u1", score=1), enrollment("e2", "u2"), enrollment(None, None)],
        [enrollment("e1", "u1", score="1.0"), enrollment("e3", "u2", score=5), enrollment("e2", "u2", "c2")],
    ],
}
"""By identity: the key of e1 twice, the second time with its score as a string; another key twice with other values; one
record without ids."""


def deduplicate(folder, identity):
    """Return the ids and scores stored, the duplicates, and the number of rejected records."""
    flattener, rejected = EnrollmentFlattener(identity), 0
    with (
        TableFile(UNIFIED_ENROLLMENTS, folder / "served.parquet") as served,
        TableFile(UNIFIED_ENROLLMENTS, folder / "data.parquet") as second,
    ):
        for records in PAGES[identity]:
            batches = flattener.flatten_responses([ResponseRecords(read_records(*records), NOON)])
            served.write(batches.unified)
            rejected += batches.rejected.num_rows
        file, duplicates = dedupe.deduplicate(
            served, KEYS[identity], open_second=lambda: second, scratch=folder / "scratch"
        )
        file.close({})
    rows = pq.read_table(file.path, columns=["enrollment_id", "score"]).to_pylist()
    return [(row["enrollment_id"], row["score"]) for row in rows], duplicates, rejected


@pytest.mark.parametrize("identity", ["enrollment_id", "pair"])
def test_the_last_of_two_rows_with_one_key_is_stored(tmp_path, identity):
    rows, _, _ = deduplicate(tmp_path, identity)
    assert rows == [("e1", 1.0), ("e3", 5.0), ("e2", None)]


@pytest.mark.parametrize("identity", ["enrollment_id", "pair"])
def test_a_duplicate_in_another_notation_is_identical_and_one_with_another_value_conflicts(tmp_path, identity):
    _, duplicates, _ = deduplicate(tmp_path, identity)
    assert (duplicates.identical, duplicates.conflicting) == (1, 1)


@pytest.mark.parametrize("identity", ["enrollment_id", "pair"])
def test_served_is_the_sum_of_unified_rejected_and_duplicates(tmp_path, identity):
    rows, duplicates, rejected = deduplicate(tmp_path, identity)
    assert (len(rows), rejected, duplicates.total) == (3, 1, 2)  # of 6 served
