"""Snapshots for the tests of the metrics: written from a few fields a row, measured, and told as plain values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.days import Calendar
from lms_pipeline.metrics.completion import Snapshot, completions
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lms_pipeline.tables.schema import Table

DAY = date(2026, 3, 31)
FETCHED_AT = datetime(2026, 4, 1, 6, tzinfo=UTC)


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A snapshot's file; what a row leaves out is null, but for where and when it was found."""
    found = {"source": "unified", "fetched_at": FETCHED_AT}
    table = pa.Table.from_pylist(
        [found | dict(row) for row in rows], schema=arrow_schema(UNIFIED_ENROLLMENTS)
    )
    pq.write_table(table, path)
    return path


def snapshot(path: Path, day: date = DAY, zone: str = "UTC", **options: Any) -> Snapshot:
    return Snapshot(path, day, Calendar(ZoneInfo(zone)), **options)


def measured(table: Table, of: Snapshot) -> list[dict[str, Any]]:
    with completions(of) as told:
        batches = told(table)
        rows: list[dict[str, Any]] = batches.read_all().to_pylist()
        return rows
