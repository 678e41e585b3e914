"""A pull by the library, without Dagster: from the API to the published tables."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.sides.package import open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def main() -> None:
    """Pull an account into a new data directory; its metrics are computed too, outside of the measurement."""
    options = read_arguments(url=str, account=str, folder=Path, accounts=Path, metrics=int)
    shutil.rmtree(options.folder, ignore_errors=True)
    package = open_package(options.folder, options.url, options.accounts)
    counts, cost = measure_call(package.prepare_pull(options.account))
    path = package.find_file("unified_enrollments", options.account)
    print_result(cost, **counts, unified_mb=path.stat().st_size / 2**20)
    if options.metrics:
        package.prepare_metrics(options.account)()


if __name__ == "__main__":
    main()
