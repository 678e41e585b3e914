"""All checks of one published partition."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Environment, Side
from benchmarks.ratios import Limit, Row
from benchmarks.world.server import serve_world


def measure_checks(bench: Bench) -> Iterator[Row]:
    """Compare with the earlier commit, each over the files that it published."""
    rows = bench.scale.check_rows
    account = f"acc-{rows}"
    environments: tuple[Environment, ...] = ("package", "base")
    sides = []
    with serve_world(bench.world) as url:
        for environment in environments:
            options = {"folder": bench.folder / environment, "account": account}
            sides.append(Side(environment, "checks", options, environment))
            if environment in bench.pythons:
                bench.run(Side(environment, "pull", {**options, "url": url, "metrics": 1}, environment))
    results = bench.run_rounds("checks", sides, rounds=bench.scale.small_rounds, size=f"{rows:,} rows")
    yield from results.compare(f"checks of {rows:,}, CPU / base", "package", "base", "cpu", Limit(0.35))
