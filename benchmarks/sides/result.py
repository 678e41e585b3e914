"""The arguments of a side, the cost of its work, and its result.

Belongs here: what every side shares, with the standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.usage import read_peak_bytes

T = TypeVar("T")


@dataclass
class Cost:
    """What a block cost: CPU seconds of this process and its ended children, and seconds."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def measure_cost() -> Iterator[Cost]:
    """Measure the block; imports and preparations are outside of it."""
    cost, cpu, started = Cost(), _read_cpu_seconds(), time.perf_counter()
    yield cost
    cost.wall, cost.cpu = time.perf_counter() - started, _read_cpu_seconds() - cpu


def measure_call(work: Callable[[], T]) -> tuple[T, Cost]:
    """Return the result of some work, and its cost."""
    with measure_cost() as cost:
        result = work()
    return result, cost


def _read_cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def read_arguments(**types: Callable[[str], object]) -> argparse.Namespace:
    """Read the options `--NAME VALUE`, each of the type of its name; an option may be left out."""
    parser = argparse.ArgumentParser()
    for name, kind in types.items():
        parser.add_argument(f"--{name}", type=kind)
    return parser.parse_args()


def print_result(cost: Cost | None = None, /, **figures: float | str) -> None:
    """Print the result: the cost, the peak memory in MB of this process or its largest child, and other figures."""
    costs = {} if cost is None else {"cpu": cost.cpu, "wall": cost.wall}
    peak = max(read_peak_bytes(os.getpid()), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    print(json.dumps({**costs, "peak_mb": peak / 2**20, **figures}))  # noqa: T201 (for the driver)


def list_files(folder: Path) -> list[Path]:
    """Return the Parquet files below a folder."""
    return sorted(folder.rglob("*.parquet"))
