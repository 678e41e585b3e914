"""The daily job of small accounts under Dagster: the first in its process, and further ones."""

from __future__ import annotations

import shutil
import statistics
from functools import partial
from pathlib import Path

from benchmarks.sides.package import open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def main() -> None:
    """Run the daily job of an account, and of `further` ones of the same size, in this process."""
    options = read_arguments(url=str, folder=Path, rows=int, further=int)
    shutil.rmtree(options.folder, ignore_errors=True)
    package = open_package(options.folder, options.url)
    with package.open_dagster() as run:
        accounts = [f"acc-{options.rows}-{number}" for number in range(options.further + 1)]
        first, *further = (measure_call(partial(run, account))[1] for account in accounts)
    print_result(
        rows=options.rows,
        cpu=first.cpu,
        wall=first.wall,
        further_cpu=statistics.median(cost.cpu for cost in further or [first]),
        further_wall=statistics.median(cost.wall for cost in further or [first]),
    )


if __name__ == "__main__":
    main()
