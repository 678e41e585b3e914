"""The peak memory of a pull: it does not grow with the account."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side
from benchmarks.ratios import Limit, Row
from benchmarks.world.server import serve_world


def measure_memory(bench: Bench) -> Iterator[Row]:
    """Compare a huge account with a large one, once: memory varies little."""
    huge = bench.scale.huge_rows
    large = bench.scale.pull_rows[1] or bench.scale.pull_rows[0]
    if not huge:
        return
    peaks = []
    with serve_world(bench.world) as url:
        for rows in (large, huge):
            options = {"url": url, "account": f"acc-{rows}", "folder": bench.folder / "package"}
            side = Side("package", "pull", options)
            results = bench.run_rounds("memory", [side], rounds=1, rows=rows, size=f"{rows:,} rows")
            peaks += results.read_values("package", "peak_mb")
    yield Row(f"peak memory, pull of {huge:,} less that of {large:,}", (peaks[1] - peaks[0],), Limit(60), "MB")
    yield Row(f"peak memory, pull of {huge:,}", (peaks[1],), Limit(420), "MB")
