"""A build of the warehouse: in full, or with what changed since the latest build; with roll-ups or without."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.sides.package import Work, open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments


def remove_builds(folder: Path) -> None:
    """Remove the latest build, so that the next one is in full."""
    (folder / "lms.duckdb").unlink(missing_ok=True)
    shutil.rmtree(folder / "lake_by_day", ignore_errors=True)
    shutil.rmtree(folder / "state" / "warehouse", ignore_errors=True)


def prepare_roll_ups(folder: Path) -> Work:
    """Prepare the roll-ups of the days that changed, and a build of views over them."""
    from lms_pipeline.lake.paths import DataDir
    from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
    from lms_pipeline.lake.warehouse import build_warehouse

    def work() -> dict[str, float]:
        data = DataDir(folder)
        days = [roll_up_day(data, day) for day in find_outdated_days(data)]
        build_warehouse(data, is_rolled_up=True)
        return {"days": len(days), "files_written": sum(len(day.written) for day in days)}

    return work


def main() -> None:
    """Build the warehouse of a data directory."""
    options = read_arguments(folder=Path, full=int, roll_up=int)
    package = open_package(options.folder)
    if options.full:
        remove_builds(options.folder)
    work = prepare_roll_ups(options.folder) if options.roll_up else package.prepare_warehouse()
    counts, cost = measure_call(work)
    warehouse = (options.folder / "lms.duckdb").resolve()
    print_result(cost, **counts, file_mb=warehouse.stat().st_size / 2**20)


if __name__ == "__main__":
    main()
