import sys

import pyarrow.parquet as pq
import pytest

from benchmarks.sides import handwritten_metrics, make_partition, metrics
from benchmarks.sides.package import open_package

KEYS = {"course_completion": "course_id", "learner_completion": "user_id", "account_completion": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    options = ["--folder", str(folder), "--account", "acc"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")  # each side sets it
        for side, more in ((make_partition, ["--rows", "4000"]), (metrics, []), (handwritten_metrics, [])):
            patch.setattr(sys, "argv", ["side", *options, *more])
            side.main()
    return folder


@pytest.mark.parametrize("table", KEYS)
def test_the_handwritten_query_computes_the_same_counts(folder, table):
    """A comparison with a query for other figures would say nothing."""
    key = KEYS[table]
    theirs = pq.read_table(folder / "handwritten.parquet").to_pylist()
    ours = pq.read_table(open_package(folder).find_file(table, "acc")).to_pylist()
    columns = [name for name in theirs[0] if name.startswith(("n_", "status_"))]
    names = {"course_id", "user_id"} - {key}
    grouped = [
        row for row in theirs if all(row[name] is None for name in names) and (key is None or row[key] is not None)
    ]
    assert len(columns) == 36
    assert {row.get(key): [row[name] for name in columns] for row in grouped} == {
        row.get(key): [row[name] for name in columns] for row in ours
    }
