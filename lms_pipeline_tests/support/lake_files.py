"""Rows of the lake's tables, and files of them, for the tests."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lms_pipeline.lake.files import TableFile
from lms_pipeline.lake.paths import AnyPartition, DataDir, DayPartition, Partition
from lms_pipeline.lake.publishing import Publication, Published
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import ListOf, Scalar, Table, arrow_schema

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (date(2026, 3, day) for day in (1, 2, 3))
PROVENANCE = {
    "run_id": "run-1",
    "pulled_at": NOON.isoformat(),
    "strategy": "sweep",
    "requests": "7",
    "complete": "true",
}

_DEFAULTS: dict[Scalar, Any] = {"timestamp": NOON, "date": FIRST, "string": "x", "int64": 0}


def batch(table: Table, *rows: dict[str, Any]) -> pa.RecordBatch:
    """Return a batch of the table. A missing value is null, or a default if the column is not nullable."""
    filled = {
        column.name: _DEFAULTS[column.type]
        for column in table.columns
        if not column.nullable and not isinstance(column.type, ListOf)
    }
    return pa.RecordBatch.from_pylist([filled | row for row in rows], schema=arrow_schema(table))


def enrollment(user_id: str, course_id: str = "c1", **more: Any) -> dict[str, Any]:
    return {"user_id": user_id, "course_id": course_id, "enrollment_id": f"{user_id}-{course_id}", **more}


def write(path: Path, table: Table, *rows: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    """Write a finished file of these rows."""
    with TableFile(table, path) as file:
        file.write(batch(table, *rows))
        file.close(PROVENANCE if metadata is None else metadata)
    return path


def publish(
    data: DataDir, account_id: str, day: date, *rows: dict[str, Any], table: Table = UNIFIED_ENROLLMENTS
) -> Published:
    """Publish these rows as the table of an account and day."""
    return _publish(data, Partition(account_id, day), rows, table)


def publish_each_table(data: DataDir, account_id: str, day: date) -> None:
    """Publish a row of each table of an account and day but rejected records, learners and courses."""
    publish(data, account_id, day, {"payload": "{}"}, table=RAW_ENROLLMENTS)
    publish(data, account_id, day, enrollment("u1", course_title=f"{account_id} {day}"))
    for table in METRIC_TABLES:
        texts = [column.name for column in table.columns if column.name in table.key and column.type == "string"]
        counts = {"n_all": 7, "n_completed": 3}.items() if "n_all" in table.column_names else ()
        publish(data, account_id, day, dict.fromkeys(texts, f"{account_id}{day}") | dict(counts), table=table)


def publish_small_lake(data: DataDir) -> DataDir:
    """Publish three accounts: two with two days, and one whose latest day is the first; and the portfolio."""
    for account_id, days in (("acme", (FIRST, SECOND)), ("beta", (FIRST, SECOND)), ("gamma", (FIRST,))):
        for day in days:
            publish_each_table(data, account_id, day)
    for day in (FIRST, SECOND):
        publish_all_accounts(data, day, {"accounts": 3, "n_all": 9})
    return data


def publish_all_accounts(
    data: DataDir, day: date, *rows: dict[str, Any], table: Table = PORTFOLIO_COMPLETION
) -> Published:
    """Publish these rows as the table of a day, over all accounts."""
    return _publish(data, DayPartition(day), rows, table)


def _publish(data: DataDir, partition: AnyPartition, rows: Iterable[dict[str, Any]], table: Table) -> Published:
    with Publication(data, partition, "run-1") as publication:
        with publication.open(table) as file:
            file.write(batch(table, *rows))
            file.close(PROVENANCE)
        return publication.publish([(file, table.key)])[0]


def incompressible_text(number: int) -> str:
    """Return a text that compresses to 5 kB, a different one for each number."""
    return hashlib.shake_256(bytes([number])).hexdigest(5_000)


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Limit the files of this process to `size` bytes: the next write fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
