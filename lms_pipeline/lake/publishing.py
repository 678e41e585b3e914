"""Making the files of one run and partition visible, each in one step, after an audit of all.

What belongs here: the order of publishing. What a file holds is `files.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from lms_pipeline.lake.audit import audit
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.files import TableFile, count_rows
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition
from lms_pipeline.tables.schema import Table


@dataclass(frozen=True, slots=True)
class Published:
    """A file that readers see now."""

    table: Table
    partition: Partition
    path: Path
    rows: int


def published_files(data: DataDir, tables: Sequence[Table], partition: Partition) -> list[Published]:
    """Those of the tables' files that readers see of a partition.

    Raises:
        LakeError: one is damaged.
    """
    files = [(table, data.file(table, partition)) for table in tables]
    return [Published(table, partition, path, count_rows(path)) for table, path in files if path.exists()]


class Publication:
    """The files that a run writes for a partition; those that it doesn't publish vanish with it."""

    def __init__(self, data: DataDir, partition: Partition, run_id: str) -> None:
        self.partition = partition
        self.run_id = run_id
        self._data = data
        self._written: list[Path] = []

    def __enter__(self) -> Self:
        """The publication itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was written and not published."""
        for path in self._written:
            path.unlink(missing_ok=True)

    def open(self, table: Table) -> TableFile:
        """A file to write, beside the one that readers see."""
        path = self._data.unpublished_file(table, self.partition, self.run_id)
        self._written.append(path)
        return TableFile(table, path)

    def publish(self, files: Sequence[tuple[TableFile, Sequence[str]]]) -> list[Published]:
        """Audit every file against its key, then rename them in this order: the last one is the commit mark.

        Raises:
            AuditError: one of them is not what it should be; none was published.
        """
        rows = [audit(file.path, file.table, key) for file, key in files]
        return [self._rename(file, count) for (file, _), count in zip(files, rows, strict=True)]

    def _rename(self, file: TableFile, rows: int) -> Published:
        target = self._data.file(file.table, self.partition)
        with disk_errors(target):
            file.path.replace(target)
            _sync_folder(target.parent)
        return Published(file.table, self.partition, target, rows)


def publish_table(
    data: DataDir,
    table: Table,
    partition: Partition,
    *,
    run_id: str,
    batches: pa.RecordBatchReader,
    metadata: dict[str, str],
) -> Published:
    """Publish one table that was worked out from others, from a reader over its rows.

    Raises:
        AuditError: it is not what it should be.
    """
    with Publication(data, partition, run_id) as publication, publication.open(table) as file:
        file.write_all(batches)
        file.close({"run_id": run_id, **metadata})
        return publication.publish([(file, table.key)])[0]


def remove_leftovers(data: DataDir, tables: Iterable[Table], partition: Partition) -> None:
    """Remove what runs that died have left of a partition; only for who is sure that no other run is at it."""
    for table in tables:
        folder = data.file(table, partition).parent
        with disk_errors(folder):
            for path in folder.glob(f".{DATA_FILE}.*"):
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the rename itself to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
