"""How the cost grows with the rows of an account, with accounts and with days: three sizes of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise

from benchmarks.bench import Bench, Results, Side
from benchmarks.cases.warehouse import add_days, pull_source
from benchmarks.ratios import Limit, Row
from benchmarks.world.server import serve_world

TOLERANCE = 1.25
"""Cost of a larger size, over that of the smaller one times the ratio of the sizes."""
MAX_GROWTH_WITH_DAYS = 1.5
"""Cost of one more day, over that of one more day after fewer days: looking for changes is all that grows."""


def measure_growth(bench: Bench) -> Iterator[Row]:
    """Compare each size with the next smaller one: pulls, and builds of the warehouse with one more day."""
    with serve_world(bench.world) as url:
        yield from _measure_rows(bench, url)
        pull_source(bench, url, "package")
    accounts, days = bench.scale.growth_accounts, bench.scale.growth_days
    builds = Results()
    for _ in range(bench.scale.large_rounds):
        for size in accounts:
            _build(bench, builds, size, days[0])
        for size in days[1:]:
            _build(bench, builds, accounts[0], size)
    bench.print_medians("growth", "warehouse", builds)
    for small, large in pairwise(accounts):
        limit = Limit(TOLERANCE * large / small)
        name = f"one more day of the warehouse, CPU of {large} accounts / {small}"
        yield from builds.compare(name, _name_next_day(large, days[0]), _name_next_day(small, days[0]), "cpu", limit)
    for small, large in pairwise(days):
        limit = Limit(MAX_GROWTH_WITH_DAYS)
        name = f"one more day of the warehouse, CPU after {large} days / {small}"
        yield from builds.compare(
            name, _name_next_day(accounts[0], large), _name_next_day(accounts[0], small), "cpu", limit
        )


def _measure_rows(bench: Bench, url: str) -> Iterator[Row]:
    sizes = bench.scale.growth_rows
    options = {"url": url, "folder": bench.folder / "package"}
    sides = [Side(f"{rows:,} rows", "pull", {**options, "account": f"acc-{rows}"}) for rows in sizes]
    results = bench.run_rounds("growth", sides, rounds=bench.scale.large_rounds, size="pull")
    for (small, smaller), (large, larger) in pairwise(zip(sizes, sides, strict=True)):
        limit = Limit(TOLERANCE * large / small)
        yield from results.compare(f"pull, CPU of {large:,} / {small:,}", larger.name, smaller.name, "cpu", limit)


def _build(bench: Bench, results: Results, accounts: int, days: int) -> None:
    """Build the warehouse of a new lake in full, then with one more day."""
    folder = bench.folder / "lake"
    bench.run(add_days(bench, "package", folder, accounts, first_day=1, days=days))
    full = Side(f"{accounts} accounts, {days} days", "warehouse", {"folder": folder, "full": 1})
    bench.run_round("growth", [full], results)
    bench.run(add_days(bench, "package", folder, accounts, first_day=0, days=1))
    next_day = Side(_name_next_day(accounts, days), "warehouse", {"folder": folder, "full": 0})
    bench.run_round("growth", [next_day], results)
    shutil.rmtree(folder)


def _name_next_day(accounts: int, days: int) -> str:
    return f"{accounts} accounts, one more day after {days}"
