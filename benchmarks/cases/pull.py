"""The pull of an account with raw data: from the API to published Parquet, without Dagster."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side
from benchmarks.ratios import Limit, Row
from benchmarks.world.server import serve_world

INFORMING = {"json": "parquet", "default": "parquet", "flat": "duckdb"}
"""Other ways to use dlt, by mode and destination: once, for information."""


def measure_pull(bench: Bench) -> Iterator[Row]:
    """Compare with the bare download, with the earlier commit and with dlt, for a small and a large account."""
    small, large = bench.scale.pull_rows
    with serve_world(bench.world) as url:
        yield from _measure_account(bench, url, small, bench.scale.small_rounds, is_small=True)
        if large:
            yield from _measure_account(bench, url, large, bench.scale.large_rounds, is_small=False)


def _measure_account(bench: Bench, url: str, rows: int, rounds: int, *, is_small: bool) -> Iterator[Row]:
    common = {"url": url, "account": f"acc-{rows}"}
    dlt = {**common, "folder": bench.folder / "dlt", "destination": "parquet"}
    sides = [
        Side("httpx", "download", common),
        Side("package", "pull", {**common, "folder": bench.folder / "package"}),
        Side("base", "pull", {**common, "folder": bench.folder / "base"}, "base"),
        Side("dlt, Arrow by hand", "dlt_pull", {**dlt, "mode": "arrow"}, "rivals"),
        # of a large account it takes four minutes a round
        Side("dlt rest_api", "dlt_pull", {**dlt, "mode": "flat"}, "rivals", rounds if is_small else 1),
    ]
    if is_small and bench.scale.is_judged:
        sides += [
            Side(f"dlt rest_api {mode} {to}", "dlt_pull", {**dlt, "mode": mode, "destination": to}, "rivals", 1)
            for mode, to in INFORMING.items()
        ]
    results = bench.run_rounds("pull", sides, rounds=rounds, rows=rows, size=f"{rows:,} rows")
    of = f"pull of {rows:,}"
    yield from results.compare(f"{of}, CPU / base", "package", "base", "cpu", Limit(0.55))
    yield from results.compare(f"{of}, CPU / httpx download", "package", "httpx", "cpu", Limit(11))
    at_least = {"dlt rest_api": 5.0, "dlt, Arrow by hand": 1.3}
    for rival, least in at_least.items():
        limit = Limit(least, is_upper=False)
        yield from results.compare_speed(f"{of}, rows per CPU second / {rival}", "package", rival, limit)
    yield from results.compare(
        f"{of}, size of unified_enrollments / base", "package", "base", "unified_mb", Limit(0.85)
    )
