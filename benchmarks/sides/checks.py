"""All checks of one published partition."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sides.package import open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def main() -> None:
    """Check a pulled account with its metrics, for the second time: the first run imports DuckDB and reads the disk."""
    options = read_arguments(folder=Path, account=str)
    check = open_package(options.folder).prepare_checks(options.account)
    check()
    counts, cost = measure_call(check)
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
