"""What a build of the warehouse finds in the lake, by partition: which files changed, and which belong in it.

Belongs here: the judgement of a file from its footer. Not here: which files there are (`scan.py`, `index.py`), SQL (`warehouse_sql.py`), and
what the latest build found (`warehouse_record.py`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import check_unchanged, conform, convert_read_errors, read_footer, select_metadata
from lms_pipeline.lake.paths import AnyPartition, DataDir
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.lake.scan import DayFiles, read_changed_ns, select_signature
from lms_pipeline.tables.catalog import TABLES
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


def judge_day(data: DataDir, files: DayFiles, now_ns: int) -> Day:
    """Read the footers of a partition's files once each, and say which of its files belong in the warehouse.

    Args:
        data: the data directory.
        files: the files, as they were listed.
        now_ns: the time before they were listed, in nanoseconds since 1970.
    """
    footers = cache(read_footer)
    readable, older, reasons, is_complete = set(), set(), {}, not files.has_hidden
    for table in TABLES.values():
        path = data.file(table, files.partition)
        if not any(select_signature(files.signatures, table.name)):
            continue
        try:
            found = list(find_committed(data, table, [files.partition], lambda path: select_metadata(footers(path))))
            for _, file in found:
                readable.add(table.name)
                if not footers(file).schema.equals(describe_columns(table)):
                    older.add(table.name)
        except LakeError as error:
            if path.exists():  # else it was removed meanwhile
                reasons[table.name] = str(error)
            found = []
        is_complete = is_complete and bool(found)
    is_settled = read_changed_ns(files.signatures) + SETTLED_AFTER_NS < now_ns
    tables = _share(frozenset(readable)), _share(frozenset(older))
    return Day(files.partition, bytes(files.signatures), *tables, reasons, is_settled, is_complete)


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
        for batch in file.iter_batches():
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
