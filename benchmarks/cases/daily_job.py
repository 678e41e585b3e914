"""The daily job under Dagster: pull, metrics, checks, and Dagster's own work."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side
from benchmarks.ratios import Limit, Row
from benchmarks.world.server import serve_world

SMALL_ROWS = 2_000


def measure_daily_job(bench: Bench) -> Iterator[Row]:
    """Compare a further small account in a running process with the earlier commit; inform about a larger account."""
    with serve_world(bench.world) as url:
        options = {"url": url, "rows": SMALL_ROWS, "further": bench.scale.further_accounts}
        sides = [
            Side("package", "daily_job", {**options, "folder": bench.folder / "package"}),
            Side("base", "daily_job", {**options, "folder": bench.folder / "base"}, "base"),
        ]
        rounds = bench.scale.small_rounds
        results = bench.run_rounds("daily_job", sides, rounds=rounds, rows=SMALL_ROWS, size=f"{SMALL_ROWS:,} rows")
        for figure, label in (("further_cpu", "CPU"), ("further_wall", "wall")):
            name = f"daily job of a further account of {SMALL_ROWS:,}, {label} / base"
            yield from results.compare(name, "package", "base", figure, Limit(0.65))
        rows = bench.scale.pull_rows[0]
        larger = [
            Side(side.name, side.module, {**side.options, "rows": rows, "further": 0}, side.environment, 1)
            for side in sides
        ]
        if bench.scale.is_judged:
            bench.run_rounds("daily_job", larger, rounds=1, rows=rows, size=f"{rows:,} rows")
