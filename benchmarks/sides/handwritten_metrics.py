"""The counts of the metric tables by a hand-written query over the same file, on all cores, into Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from benchmarks.sides.package import DAY, NOW, open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def compute(path: Path, output: Path) -> Mapping[str, float]:
    """Run the query."""
    query = Path(__file__).with_name("handwritten_metrics.sql").read_text(encoding="utf-8")
    values = {"path": str(path), "snapshot_date": DAY, "ended_at": NOW.replace(hour=0)}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        copy = f"COPY ({query}) TO '{output}' (FORMAT parquet, COMPRESSION zstd)"  # a path of our own
        connection.execute(copy, values)
        row = connection.execute("SELECT count(*) FROM read_parquet($path)", {"path": str(output)}).fetchone()
    return {"rows": row[0] if row else 0}


def main() -> None:
    """Compute the counts of an account."""
    options = read_arguments(folder=Path, account=str)
    path = open_package(options.folder).find_file("unified_enrollments", options.account)
    counts, cost = measure_call(lambda: compute(path, options.folder / "handwritten.parquet"))
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
