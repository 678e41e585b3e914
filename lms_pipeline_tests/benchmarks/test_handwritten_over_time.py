"""The hand-written queries for cohorts, curves, attention and the portfolio compute what the package computes."""

import sys

import pyarrow.parquet as pq
import pytest

from benchmarks.sides import handwritten_over_time, make_partition, metrics, over_time
from benchmarks.sides.package import DAY, open_package
from lms_pipeline.lake.paths import DayPartition
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION

KEYS = {
    "cohort_completion": ("course_id", "cohort", "months_since"),
    "completion_curve": ("course_id", "day"),
    "attention": ("enrollment_id",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("over_time")
    options = ["--folder", str(folder), "--account", "acc"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")  # each side sets it
        for side in (make_partition, metrics, over_time, handwritten_over_time):
            patch.setattr(sys, "argv", ["side", *options, *(["--rows", "4000"] if side is make_partition else [])])
            side.main()
    return folder


@pytest.mark.parametrize("table", KEYS)
def test_the_handwritten_query_computes_the_same_rows(folder, table):
    """A comparison with a query for other figures would say nothing."""
    ours = pq.read_table(open_package(folder).find_file(table, "acc"))
    theirs = pq.read_table(folder / "handwritten" / f"{table}.parquet")
    assert set(theirs.column_names) == set(ours.column_names)
    expected, found = (index_rows(rows, KEYS[table]) for rows in (theirs, ours))
    assert len(expected) == theirs.num_rows > 1_000
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == {
            name: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value for name, value in row.items()
        }


def test_the_handwritten_query_computes_the_same_portfolio(folder):
    [ours] = pq.ParquetFile(open_package(folder).data.file(PORTFOLIO_COMPLETION, DayPartition(DAY))).read().to_pylist()
    [theirs] = pq.read_table(folder / "handwritten" / "portfolio_completion.parquet").to_pylist()
    assert theirs == ours


def index_rows(table, key):
    return {tuple(row[name] for name in key): row for row in table.to_pylist()}
