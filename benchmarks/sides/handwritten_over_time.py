"""The tables of cohorts, curves and attention by hand-written queries over the same file, on all cores, into Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from benchmarks.sides.package import DAY, open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments

QUERIES = {"cohort_completion": "cohorts", "completion_curve": "curves", "attention": "attention"}
"""The query of each table."""


def compute(path: Path, folder: Path) -> Mapping[str, float]:
    """Run the queries, and write `<table>.parquet` for each."""
    rows = 0
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_read_query("enrollments"), {"path": str(path), "snapshot_date": DAY})
        for table, name in QUERIES.items():
            output = folder / f"{table}.parquet"
            copy = f"COPY ({_read_query(name)}) TO '{output}' (FORMAT parquet, COMPRESSION zstd)"  # a path of our own
            row = connection.execute(copy, {"snapshot_date": DAY}).fetchone()
            rows += row[0] if row else 0
    return {"rows": rows}


def _read_query(name: str) -> str:
    return Path(__file__).with_name(f"handwritten_{name}.sql").read_text(encoding="utf-8")


def main() -> None:
    """Compute the tables of an account."""
    options = read_arguments(folder=Path, account=str)
    path = open_package(options.folder).find_file("unified_enrollments", options.account)
    folder = options.folder / "handwritten"
    folder.mkdir(exist_ok=True)
    counts, cost = measure_call(lambda: compute(path, folder))
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
