"""Many account-days from one published one: its files as links under the names of other accounts and days."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from benchmarks.sides.package import DAY
from benchmarks.sides.result import print_result, read_arguments


def main() -> None:
    """Link the files of the only partition of `source` for accounts and days, counted back from the day of the source."""
    options = read_arguments(source=Path, folder=Path, accounts=int, first_day=int, days=int)
    files = 0
    for file in sorted((options.source / "lake").glob("*/*/*/data.parquet")):
        table = file.relative_to(options.source / "lake").parts[0]
        for number in range(options.accounts):
            for day in range(options.first_day, options.first_day + options.days):
                folder = options.folder / "lake" / table / f"account_id=acc-{number:04}"
                folder /= f"snapshot_date={DAY - timedelta(days=day)}"
                folder.mkdir(parents=True, exist_ok=True)
                os.link(file, folder / "data.parquet")
                files += 1
    print_result(files=files)


if __name__ == "__main__":
    main()
