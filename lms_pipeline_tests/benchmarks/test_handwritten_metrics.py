import sys

import pyarrow.parquet as pq
import pytest

from benchmarks.sides import handwritten_metrics, make_partition, metrics
from benchmarks.sides.package import open_package

KEYS = {"course_completion": "course_id", "learner_completion": "user_id", "account_completion": None}


def run(monkeypatch, side, **options):
    monkeypatch.setattr(
        sys, "argv", ["side", *(part for name, value in options.items() for part in (f"--{name}", value))]
    )
    side.main()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    run(monkeypatch, make_partition, folder=str(tmp_path), account="acc", rows="4000")
    run(monkeypatch, metrics, folder=str(tmp_path), account="acc")
    run(monkeypatch, handwritten_metrics, folder=str(tmp_path), account="acc")
    return tmp_path


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
