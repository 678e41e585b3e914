"""Cohorts, curves, attention and the portfolio by hand-written queries over the same files, on all cores, into Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from benchmarks.sides.package import DAY, open_package
from benchmarks.sides.result import measure_call, print_result, read_arguments

QUERIES = {"cohort_completion": "cohorts", "completion_curve": "curves", "attention": "attention"}
"""The query of each table of an account."""
PORTFOLIO = "portfolio_completion"


def compute(path: Path, account: Path, folder: Path) -> Mapping[str, float]:
    """Run the queries over the files of enrollments and of `account_completion`; write `<table>.parquet` for each."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_read_query("enrollments"), {"path": str(path), "snapshot_date": DAY})
        rows = [_write(connection, table, {"snapshot_date": DAY}, folder) for table in QUERIES]
        rows.append(_write(connection, PORTFOLIO, {"accounts": str(account)}, folder))
    return {"rows": sum(rows)}


def _write(connection: duckdb.DuckDBPyConnection, table: str, values: Mapping[str, object], folder: Path) -> int:
    query = _read_query(QUERIES.get(table, "portfolio"))
    copy = f"COPY ({query}) TO '{folder / table}.parquet' (FORMAT parquet, COMPRESSION zstd)"  # a path of our own
    row = connection.execute(copy, values).fetchone()
    return row[0] if row else 0


def _read_query(name: str) -> str:
    return Path(__file__).with_name(f"handwritten_{name}.sql").read_text(encoding="utf-8")


def main() -> None:
    """Compute the tables of an account."""
    options = read_arguments(folder=Path, account=str)
    package = open_package(options.folder)
    path, account = (
        package.find_file(table, options.account) for table in ("unified_enrollments", "account_completion")
    )
    folder = options.folder / "handwritten"
    folder.mkdir(exist_ok=True)
    counts, cost = measure_call(lambda: compute(path, account, folder))
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
