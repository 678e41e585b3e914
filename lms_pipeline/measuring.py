"""Measuring a snapshot: from its enrollments to the published metric tables.

What belongs here: the order of the steps, as `snapshot.py` has it for a pull. The figures are `metrics/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lms_pipeline.days import Calendar
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.files import check_version, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Published, publish_table
from lms_pipeline.metrics.completion import Snapshot, completions
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

NEVER_WITHDRAWN = frozenset({"talentlms"})
"""Integrations that remove an enrollment instead of calling it withdrawn: their withdrawal rate is not known."""


PASSED_ON = frozenset({"pulled_at", "strategy", "requests", "complete"})
"""What the file of a metric table repeats of the enrollments it was worked out from."""


class NoSnapshotError(LmsPipelineError):
    """There is nothing to measure."""


def measure(
    data: DataDir,
    tables: Sequence[Table],
    partition: Partition,
    calendar: Calendar,
    *,
    integration: str,
    run_id: str,
) -> Iterator[Published]:
    """Work out metric tables of an account and day, and publish each.

    Raises:
        NoSnapshotError: the day was not pulled.
        LakeError: it can't be read or written.
    """
    path = data.file(UNIFIED_ENROLLMENTS, partition)
    if not path.exists():
        raise NoSnapshotError(
            f"There is no snapshot of {partition}: materialize unified_enrollments of that day first."
        )
    source = read_metadata(path)
    check_version(path, source)
    snapshot = Snapshot(path, partition.day, calendar, says_withdrawn=integration not in NEVER_WITHDRAWN)
    told = {name: value for name, value in source.items() if name in PASSED_ON}
    told |= {f"source_{name}": source[name] for name in ("run_id", "digest") if name in source}
    with completions(snapshot) as rows:
        for table in tables:
            yield publish_table(data, table, partition, run_id=run_id, batches=rows(table), metadata=told)


def only_row(published: Published, columns: Sequence[str]) -> dict[str, Any]:
    """The row of a table that has one, by column; only those that are named, which is five times as quick as all."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(published.path) as file:
        rows: list[dict[str, Any]] = file.read(columns).to_pylist()
    (row,) = rows
    return row
