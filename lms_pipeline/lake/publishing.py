"""Making the files of one run and partition visible, each in one step, after an audit of all.

What belongs here: the order of publishing. What a file holds is `files.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.disk import LakeError, disk_errors, replace_file
from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.files import TableFile, count_rows
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema


class AuditError(LakeError):
    """A file that is not what it should be; it was not published."""


@dataclass(frozen=True, slots=True)
class KeyFaults:
    """Rows that can't be told from others."""

    nulls: dict[str, int]
    """Rows without a value, by column of the key; columns that have all of theirs are left out."""
    repeated: int
    """Rows with a key that another row has before them."""


def audit(path: Path, table: Table, key: Sequence[str]) -> int:
    """Check the schema, which also says what is never null, and that no key is null or stands twice.

    Returns:
        The rows in the file.

    Raises:
        AuditError: naming the table, the column and how many rows.
    """
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.remove_metadata().equals(arrow_schema(table)):
            raise AuditError(
                f"The new file of {table.name} has not the table's columns; nothing was published."
            )
        rows: int = file.metadata.num_rows
    if key:
        _check_key(path, table, key)
    return rows


def _check_key(path: Path, table: Table, key: Sequence[str]) -> None:
    faults = key_faults(path, key)
    for name, nulls in faults.nulls.items():
        raise AuditError(f"{nulls} rows of {table.name} have no {name}; nothing was published.")
    if faults.repeated:
        raise AuditError(
            f"{faults.repeated} rows of {table.name} repeat the key of another; nothing was published."
        )


def key_faults(path: Path, key: Sequence[str]) -> KeyFaults:
    """The rows of a file whose key is missing or another's."""
    columns = [duckdb.ColumnExpression(name) for name in key]
    with duckdb_session(spill_to=path.parent) as connection:
        keys = connection.read_parquet(str(path)).select(*columns)
        nulls = {name: len(keys.filter(column.isnull())) for name, column in zip(key, columns, strict=True)}
        return KeyFaults(
            nulls={name: count for name, count in nulls.items() if count},
            repeated=len(keys) - len(keys.distinct()),
        )


def check_sum(*, brought: int, unified: int, rejected: int, duplicates: int) -> None:
    """Every record that was served, carried over or made of a detail is stored, rejected or a duplicate.

    Raises:
        AuditError: one was lost, or came from nowhere.
    """
    if brought != unified + rejected + duplicates:
        raise AuditError(
            f"{brought} enrollments were brought, but {unified} stored, {rejected} rejected and {duplicates} duplicates; "
            "nothing was published."
        )


log = logging.getLogger(__name__)

FEW = 20
"""Under so many rows before, a drop tells nothing: three of five learners may well leave on a day."""


class RowDropError(AuditError):
    """Too many enrollments are missing that were there before; nothing was published."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The rows of a snapshot beside those of the last one before it."""

    rows: int
    rows_before: int
    day_before: date | None
    """None where there is none that can be read."""

    @property
    def share(self) -> float:
        """The part of the rows before that is missing, 0 to 1; 0 where there were few."""
        if self.rows_before < FEW:
            return 0.0
        return max(0.0, 1 - self.rows / self.rows_before)


def drop_of(data: DataDir, partition: Partition, rows: int) -> Drop:
    """How `rows` enrollments compare with the last snapshot before the partition's day; one that is damaged is none."""
    previous = data.latest_snapshot(partition.account_id, before=partition.day)
    if previous is None:
        return Drop(rows, 0, None)
    try:
        return Drop(rows, count_rows(data.file(UNIFIED_ENROLLMENTS, previous)), previous.day)
    except LakeError as error:
        log.warning("%s Its rows are not compared with today's.", error)
        return Drop(rows, 0, None)


def check_drop(data: DataDir, partition: Partition, rows: int, most: float) -> None:
    """Refuse a snapshot in which more than the share `most` of the rows before it are missing.

    Raises:
        RowDropError: they are.
    """
    drop = drop_of(data, partition, rows)
    if drop.share > most:
        raise RowDropError(
            f"{partition} would have {rows:,} enrollments where {drop.day_before} has {drop.rows_before:,}: a drop of "
            f"{drop.share:.0%}, and max_drop is {most:.0%}; nothing was published. If they are really gone, run it once "
            "with `--allow-drop`, or with allow_drop in the UI's launchpad."
        )


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
            replace_file(file.path, target)
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
