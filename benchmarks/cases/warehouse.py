"""The warehouse over many account-days: a full build, a build with one more day, both with roll-ups too, and queries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.bench import Bench, Environment, Results, Side
from benchmarks.ratios import Limit, Row
from benchmarks.sides.package import DAY
from benchmarks.world.server import serve_world

ROWS = 2_000
"""Enrollments of an account."""


def measure_warehouse(bench: Bench) -> Iterator[Row]:
    """Compare a build after one more day with a full one, and a view with the files behind it."""
    accounts, days = bench.scale.accounts, bench.scale.days
    environments: tuple[Environment, ...] = ("package", "base")
    folders = {name: bench.folder / name for name in environments if name in bench.pythons}
    with serve_world(bench.world) as url:
        for environment, folder in folders.items():
            pull_source(bench, url, environment)
            bench.run(add_days(bench, environment, folder, accounts, first_day=1, days=days))
    results = Results()
    for number in range(bench.scale.large_rounds):
        _measure_round(bench, folders, results, number)
    bench.print_medians("warehouse", f"{accounts * days:,} account-days", results)
    name = f"warehouse, {accounts} more account-days"
    yield from results.compare(f"{name}, CPU / full build", "one more day", "full build", "cpu", Limit(0.1))
    name = f"roll-ups and views, {accounts} more account-days"
    yield from results.compare(f"{name}, CPU / all days", "one more day rolled up", "all rolled up", "cpu", Limit(0.1))
    for side in ("one more day", "full build", "one more day rolled up", "all rolled up"):
        yield from results.report(f"warehouse, peak memory of {side}", side, "peak_mb", Limit(500), "MB")
    yield from results.compare(
        "view filtered to one account and day, time / the same over the files",
        "queries",
        "queries",
        "day_warehouse_ms",
        Limit(1.2),
        of_other="day_files_ms",
    )


def _measure_round(bench: Bench, folders: Mapping[Environment, Path], results: Results, number: int) -> None:
    """Build in full, query, build with the next day, and remove that day; the same with roll-ups, without queries."""
    folder = folders["package"]
    base = {"folder": folders.get("base")}
    full = [
        Side("full build", "warehouse", {"folder": folder, "full": 1}),
        Side("queries", "queries", {"folder": folder}),
        Side("base", "warehouse", {**base, "full": 1}, "base", 1),  # for information
        Side("base queries", "queries", base, "base", 1),
    ]
    bench.run_round("warehouse", [side for side in full if number < side.max_rounds], results)
    bench.run(add_days(bench, "package", folder, bench.scale.accounts, first_day=0, days=1))
    bench.run_round("warehouse", [Side("one more day", "warehouse", {"folder": folder, "full": 0})], results)
    _remove_day(folder)
    rolled = {"folder": folder, "roll_up": 1}
    bench.run_round("warehouse", [Side("all rolled up", "warehouse", {**rolled, "full": 1})], results)
    bench.run(add_days(bench, "package", folder, bench.scale.accounts, first_day=0, days=1))
    bench.run_round("warehouse", [Side("one more day rolled up", "warehouse", {**rolled, "full": 0})], results)
    _remove_day(folder)


def _remove_day(folder: Path) -> None:
    for day in (folder / "lake").glob(f"*/*/snapshot_date={DAY}"):
        shutil.rmtree(day)


def pull_source(bench: Bench, url: str, environment: Environment) -> None:
    """Pull the account and day whose files all accounts and days of a lake share, with its metrics."""
    options = {"url": url, "account": f"acc-{ROWS}", "folder": _find_source(bench, environment), "metrics": 1}
    bench.run(Side("source", "pull", options, environment))


def add_days(bench: Bench, environment: Environment, folder: Path, accounts: int, *, first_day: int, days: int) -> Side:
    """Return a side that adds days of all accounts to the lake of a folder."""
    options = {"source": _find_source(bench, environment), "folder": folder, "accounts": accounts}
    return Side("lake", "make_lake", {**options, "first_day": first_day, "days": days}, environment)


def _find_source(bench: Bench, environment: Environment) -> Path:
    return bench.folder / f"source-{environment}"
