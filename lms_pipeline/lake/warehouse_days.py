"""What a build of the warehouse finds in the lake, by partition: which files changed, and which belong in it.

Belongs here: the judgement of a file from its footer. Not here: which files there are (`scan.py`, `index.py`), SQL
(`warehouse_sql.py`), and what the latest build found (`warehouse_record.py`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import (
    check_unchanged,
    conform,
    convert_read_errors,
    iter_row_groups,
    read_footer,
    select_metadata,
)
from lms_pipeline.lake.paths import AnyPartition, DataDir
from lms_pipeline.lake.reading import find_committed, is_committed
from lms_pipeline.lake.scan import DayFiles, read_changed_ns, select_signature
from lms_pipeline.lake.stored_footers import read_stored_footer
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema

SETTLED_AFTER_NS = 2_000_000_000
"""The age from which a file that is replaced gets another time of change on every file system, FAT's 2 s included."""


@dataclass(frozen=True, slots=True)
class Day:
    """A partition, an account's day or a day of all accounts: which of its files belong in the warehouse."""

    partition: AnyPartition
    signatures: bytes
    """As in `DayFiles`."""
    readable: frozenset[str]
    """The tables whose file can be read and is committed."""
    older: frozenset[str]
    """Those whose file has other columns than the table has now."""
    reasons: Mapping[str, str]
    """For each table whose file can't be read, a sentence that says why."""
    is_settled: bool
    """Whether a later change of a file will show in its signature."""
    is_complete: bool
    """Whether all files are readable, and no run is publishing: then nothing but a change of a file changes this."""

    def has_file(self, table: str) -> bool:
        """Return whether the table has a file on this day."""
        return any(select_signature(self.signatures, table))

    def get_signature(self, table: str) -> bytes:
        """Return the signature of a table's file, as it was before it was read."""
        return select_signature(self.signatures, table)

    def remember(self) -> tuple[bytes, list[str]]:
        """Return what `recall_day` needs if no file changes: the signatures, and the tables with other columns."""
        return self.signatures, sorted(self.older)


def judge_day(data: DataDir, files: DayFiles, now_ns: int, tables: Collection[Table] = tuple(TABLES.values())) -> Day:
    """Read the footers of a partition's files once each, and say which of its files belong in the warehouse.

    From a bucket nothing else is read: a fleet's files of a day would fill the disk.

    Args:
        data: the data directory.
        files: the files, as they were listed.
        now_ns: the time before they were listed, in nanoseconds since 1970.
        tables: those whose files are looked at.

    Raises:
        StoreError: the store can't be used, or a file was replaced meanwhile.
    """
    footers = cache(partial(_read_footer, data))
    readable, older, reasons, is_complete = set(), set(), {}, not files.has_hidden
    for table in (one for one in tables if files.has_file(one.name)):
        footer = None
        try:
            footer = _find_readable(data, table, files.partition, footers, forget=footers.cache_clear)
        except LakeError as error:
            if not data.store.is_local or data.file(table, files.partition).exists():  # else it was removed meanwhile
                reasons[table.name] = str(error)
        if footer is not None:
            readable.add(table.name)
            if not footer.schema.equals(describe_columns(table)):
                older.add(table.name)
        is_complete = is_complete and footer is not None
    is_settled = read_changed_ns(files.signatures) + SETTLED_AFTER_NS < now_ns
    shared = _share(frozenset(readable)), _share(frozenset(older))
    return Day(files.partition, bytes(files.signatures), *shared, reasons, is_settled, is_complete)


def _read_footer(data: DataDir, path: Path) -> pq.FileMetaData | None:
    """Return the footer of a file; None if nothing is stored, in a bucket.

    Raises:
        LakeError: it can't be read, or is damaged.
        StoreError: the store can't be used, or it was replaced meanwhile.
    """
    if data.store.is_local:
        return read_footer(path)
    try:
        return read_stored_footer(data.store, data.get_key(path))
    except StoreError:  # it may have been replaced between the two requests
        return read_stored_footer(data.store, data.get_key(path))


def _find_readable(
    data: DataDir,
    table: Table,
    partition: AnyPartition,
    footers: Callable[[Path], pq.FileMetaData | None],
    forget: Callable[[], None],
) -> pq.FileMetaData | None:
    """Return the footer of a file that can be read and is committed; None if it is not.

    `forget` makes `footers` read again: a pull may publish the day at this moment.

    Raises:
        LakeError: it is damaged, or the file with the commit mark is.
        StoreError: the store can't be used, or a file was replaced meanwhile.
    """

    def read(path: Path) -> dict[str, str]:
        footer = footers(path)
        return {} if footer is None else select_metadata(footer)

    if data.store.is_local:
        found = next((path for _, path in find_committed(data, table, [partition], read, lambda _: forget())), None)
        return None if found is None else footers(found)
    path, marked = data.file(table, partition), data.file(UNIFIED_ENROLLMENTS, partition)
    is_readable = is_committed(data, table, partition, read(path), lambda: read(marked).get("run_id"))
    return footers(path) if is_readable else None


def recall_day(files: DayFiles, older: Iterable[str]) -> Day:
    """Return a complete day that did not change since it was judged; `older` is what was found then."""
    signatures = bytes(files.signatures)
    readable = _share(frozenset(table for table in TABLES if any(select_signature(signatures, table))))
    return Day(files.partition, signatures, readable, _share(frozenset(older)), {}, is_settled=True, is_complete=True)


def read_whole(path: Path, table: Table) -> None:
    """Read all pages of a file.

    Raises:
        LakeError: it can't be read, or is damaged.
    """
    check_unchanged(path)
    with convert_read_errors(path), pq.ParquetFile(path) as file:
        for batch in iter_row_groups(file):
            conform(batch, table)


@cache
def _share(tables: frozenset[str]) -> frozenset[str]:
    """Return the same set for all days with the same tables: 750 bytes a day otherwise."""
    return tables


@cache
def describe_columns(table: Table) -> pq.ParquetSchema:
    """Return the columns of a file that this version writes."""
    with io.BytesIO() as empty:
        pq.write_table(arrow_schema(table).empty_table(), empty)
        return pq.read_metadata(empty).schema
