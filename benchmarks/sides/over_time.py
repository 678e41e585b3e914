"""Cohorts, curves and attention of one partition, and the portfolio of its day."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sides.package import open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def main() -> None:
    """Compute the tables of a pulled account."""
    options = read_arguments(folder=Path, account=str)
    counts, cost = measure_call(open_package(options.folder).prepare_over_time(options.account))
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
