"""Files of enrollments for the tests of the metrics, written from a few fields a row, and their metrics as plain values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.days import Calendar
from lms_pipeline.metrics.completion import EnrollmentsFile, open_completion
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from lms_pipeline.tables.schema import Table

DAY = date(2026, 3, 31)
FETCHED_AT = datetime(2026, 4, 1, 6, tzinfo=UTC)


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a file of enrollments; a missing value is null, except for `source` and `fetched_at`."""
    defaults = {"source": "unified", "fetched_at": FETCHED_AT}
    table = pa.Table.from_pylist([defaults | dict(row) for row in rows], schema=arrow_schema(UNIFIED_ENROLLMENTS))
    pq.write_table(table, path)
    return path


def enrollments_file(path: Path, day: date = DAY, zone: str = "UTC", **options: Any) -> EnrollmentsFile:
    return EnrollmentsFile(path, day, Calendar(ZoneInfo(zone)), **options)


def compute_rows(table: Table, file: EnrollmentsFile) -> list[dict[str, Any]]:
    """Return the rows of a completion table."""
    [rows] = compute_tables((table,), file)
    return rows


def compute_tables(tables: Sequence[Table], file: EnrollmentsFile) -> list[list[dict[str, Any]]]:
    """Return the rows of several completion tables, from one pass over the enrollments."""
    with open_completion(file, tables) as read_rows:
        return [read_rows(table).read_all().to_pylist() for table in tables]
