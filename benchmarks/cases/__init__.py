"""The cases of the benchmarks: each is a module with what is compared, and the limits.

Belongs here: the list of cases. A case is a function that measures and yields the rows that are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.bench import Bench
from benchmarks.cases.checks import measure_checks
from benchmarks.cases.daily_job import measure_daily_job
from benchmarks.cases.growth import measure_growth
from benchmarks.cases.memory import measure_memory
from benchmarks.cases.metrics import measure_metrics
from benchmarks.cases.over_time import measure_over_time
from benchmarks.cases.pairs import measure_pairs
from benchmarks.cases.pull import measure_pull
from benchmarks.cases.transform import measure_transform
from benchmarks.cases.warehouse import measure_warehouse
from benchmarks.ratios import Row

CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "transform": measure_transform,
    "checks": measure_checks,
    "daily_job": measure_daily_job,
    "pairs": measure_pairs,
    "metrics": measure_metrics,
    "over_time": measure_over_time,
    "warehouse": measure_warehouse,
    "pull": measure_pull,
    "memory": measure_memory,
    "growth": measure_growth,
}
"""Cases with sides that are compared, by name; the short ones first."""
SCENARIOS = {"ticks": (), "partition_page": (), "large_records": (), "fleet": ("--accounts", "48")}
"""Benchmarks with figures of their own and nothing to compare: modules of this package, and their arguments. With 50 or more
accounts, the two nights of `fleet` wait up to ten minutes for their ticks."""
