"""A dashboard's queries over the warehouse, and the same over the Parquet files, in turn."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from pathlib import Path

import duckdb

from benchmarks.sides.package import DAY, open_package
from benchmarks.sides.result import print_result, read_arguments

REPEATS = 9
LATEST_DAY = DAY - timedelta(days=1)
"""In the lake: the day after it is the one that a later build adds."""
QUERIES = {
    "day": "SELECT status, count(*) FROM {unified_enrollments} "
    "WHERE account_id = 'acc-0003' AND snapshot_date = DATE '{day}' GROUP BY 1",
    "all_accounts_day": "SELECT account_id, status, count(*) FROM {unified_enrollments} "
    "WHERE snapshot_date = DATE '{day}' GROUP BY 1, 2",
    "trend": "SELECT account_id, snapshot_date, n_completed, n_all, completion_rate FROM {account_completion}",
}
"""A view filtered to one account and day; a view filtered to one day; a stored table."""
TABLES = ("account_completion", "unified_enrollments")


def measure_query(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    """Return the milliseconds of a query."""
    started = time.perf_counter()
    connection.execute(query).fetchall()
    return 1_000 * (time.perf_counter() - started)


def main() -> None:
    """Measure each query several times, the warehouse and the files in turn; the figures are medians."""
    options = read_arguments(folder=Path)
    lake = options.folder / "lake"
    files = {table: f"read_parquet('{lake}/{table}/*/*/data.parquet', hive_partitioning = true)" for table in TABLES}
    figures: dict[str, float] = {}
    with open_package(options.folder).open_warehouse() as warehouse, duckdb.connect() as plain:
        plain.execute("SET TimeZone = 'UTC'")
        for name, query in QUERIES.items():
            over_views = query.format(day=LATEST_DAY, **dict(zip(TABLES, TABLES, strict=True)))
            over_files = query.format(day=LATEST_DAY, **files)
            times = [(measure_query(warehouse, over_views), measure_query(plain, over_files)) for _ in range(REPEATS)]
            figures[f"{name}_warehouse_ms"] = statistics.median(ours for ours, _ in times)
            figures[f"{name}_files_ms"] = statistics.median(theirs for _, theirs in times)
    print_result(**figures)


if __name__ == "__main__":
    main()
