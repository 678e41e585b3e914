"""A build of the warehouse: in full, or with what changed since the latest build."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.sides.package import open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def remove_builds(folder: Path) -> None:
    """Remove the latest build, so that the next one is in full."""
    (folder / "lms.duckdb").unlink(missing_ok=True)
    shutil.rmtree(folder / "state" / "warehouse", ignore_errors=True)


def main() -> None:
    """Build the warehouse of a data directory."""
    options = read_arguments(folder=Path, full=int)
    package = open_package(options.folder)
    if options.full:
        remove_builds(options.folder)
    counts, cost = measure_call(package.prepare_warehouse())
    warehouse = (options.folder / "lms.duckdb").resolve()
    print_result(cost, **counts, file_mb=warehouse.stat().st_size / 2**20)


if __name__ == "__main__":
    main()
