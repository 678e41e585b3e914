"""Cohorts, curves and attention of one partition, and the portfolio of its day."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side
from benchmarks.ratios import Limit, Row


def measure_over_time(bench: Bench) -> Iterator[Row]:
    """Compare cohorts, curves, attention and the portfolio with hand-written queries for the same columns."""
    rows, folder = bench.scale.metric_rows[0], bench.folder / "package"
    options = {"folder": folder, "account": "acc"}
    bench.run(Side("make_partition", "make_partition", {**options, "rows": rows}))
    bench.run(Side("metrics", "metrics", options))
    sides = [Side("package", "over_time", options), Side("hand-written", "handwritten_over_time", options)]
    results = bench.run_rounds("over_time", sides, rounds=bench.scale.large_rounds, size=f"{rows:,} rows")
    name = f"cohorts, curves, attention of {rows:,}, CPU / hand-written queries"
    yield from results.compare(name, "package", "hand-written", "cpu", Limit(1.5))
