"""Enrollments that are fetched one by one, with many calls at once to a server that takes its time."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side
from benchmarks.ratios import Limit, Row
from benchmarks.world.server import serve_world

LATENCY_MS = 20
WORKERS = 32


def measure_pairs(bench: Bench) -> Iterator[Row]:
    """Compare with the same calls by one httpx client and as many threads."""
    pairs = bench.scale.pairs
    with serve_world(bench.world, LATENCY_MS) as url:
        options = {"url": url, "world": bench.world, "pairs": pairs, "workers": WORKERS}
        sides = [
            Side("httpx", "pairs", {**options, "plain": 1}),
            Side("package", "pairs", {**options, "folder": bench.folder / "package"}),
        ]
        size = f"{pairs:,} pairs, {LATENCY_MS} ms, {WORKERS} workers"
        results = bench.run_rounds("pairs", sides, rounds=bench.scale.small_rounds, rows=pairs, size=size)
    yield from results.compare(f"{size}, wall / httpx", "package", "httpx", "wall", Limit(1.2))
