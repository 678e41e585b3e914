"""The tables of courses, learners and the account of one partition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench, Environment, Results, Side
from benchmarks.ratios import Limit, Row, compute_ratios


def measure_metrics(bench: Bench) -> Iterator[Row]:
    """Compare with a hand-written query over the same file, for two sizes, and the sizes with each other."""
    results = []
    for rows in bench.scale.metric_rows:
        result = _measure_size(bench, rows)
        results.append(result)
        name = f"metrics of {rows:,}, CPU / "
        yield from result.compare(f"{name}hand-written query", "package", "hand-written", "cpu", Limit(2))
    small, large = (result.read_values("package", "cpu") for result in results)
    sizes = bench.scale.metric_rows
    yield Row(f"metrics, CPU of {sizes[1]:,} / {sizes[0]:,}", compute_ratios(large, small), Limit(7))


def _measure_size(bench: Bench, rows: int) -> Results:
    account = f"acc-{rows}"
    folders: dict[Environment, Path] = {"package": bench.folder / "package", "base": bench.folder / "base"}
    for environment, folder in folders.items():
        if environment in bench.pythons:
            options = {"folder": folder, "account": account, "rows": rows}
            bench.run(Side("make_partition", "make_partition", options, environment))
    options = {"folder": folders["package"], "account": account}
    sides = [
        Side("package", "metrics", options),
        Side("hand-written", "handwritten_metrics", options),
        # for information: of 5,000,000 enrollments it takes two minutes a round
        Side("base", "metrics", {"folder": folders["base"], "account": account}, "base", 1),
    ]
    return bench.run_rounds("metrics", sides, rounds=bench.scale.large_rounds, size=f"{rows:,} rows")
