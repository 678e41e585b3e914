"""Which partitions may be read: those whose publication came to its end.

What belongs here: the commit mark. `unified_enrollments` is renamed last, so a file of the same pull is good where it has
the same run id; one that a killed run left beside an older mark, or without any, is not read. The lists are pulled
alone too and stand for themselves, as do the metric tables, which name the run they were worked out from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from lms_pipeline.lake.files import check_version, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

UNDER_THE_MARK = {RAW_ENROLLMENTS.name, REJECTED_ENROLLMENTS.name}

log = logging.getLogger(__name__)


def committed(data: DataDir, table: Table, partitions: Iterable[Partition]) -> Iterator[Partition]:
    """Those of the partitions that may be read; one that may not is logged.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    for partition in partitions:
        told = read_metadata(data.file(table, partition))
        if is_committed(data, table, partition, told):
            yield partition


def is_committed(data: DataDir, table: Table, partition: Partition, told: dict[str, str]) -> bool:
    """Whether a file may be read, by what it tells of itself; one that may not is logged.

    Raises:
        LakeError: it was written by a newer version of this package, or the one that holds the mark is damaged.
    """
    check_version(data.file(table, partition), told)
    if table.name not in UNDER_THE_MARK or told.get("run_id") == _mark(data, partition):
        return True
    log.warning("%s of %s is left out: its pull did not come to its end.", table.name, partition)
    return False


def _mark(data: DataDir, partition: Partition) -> str | None:
    path = data.file(UNIFIED_ENROLLMENTS, partition)
    return read_metadata(path).get("run_id") if path.exists() else None
