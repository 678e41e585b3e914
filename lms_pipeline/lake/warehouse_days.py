"""What a build of the warehouse finds in the lake, by partition: which files changed, and which belong in it.

Belongs here: the walk over the lake, and the judgement of a file from its footer. Not here: SQL (`warehouse_sql.py`), and
what the latest build found (`warehouse_record.py`).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.files import check_unchanged, conform, convert_read_errors, read_footer, select_metadata
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.schema import Table, arrow_schema

SETTLED_AFTER_NS = 2_000_000_000
"""The age from which a file that is replaced gets another time of change on every file system, FAT's 2 s included."""

_SIGNATURE = struct.Struct("<QqQ")
_POSITIONS = {name: position for position, name in enumerate(TABLES)}


@dataclass(slots=True)
class DayFiles:
    """The files of a partition, as the folders list them: none of them is opened for it."""

    partition: AnyPartition
    signatures: bytearray = field(default_factory=lambda: bytearray(_SIGNATURE.size * len(TABLES)))
    """The signature of each table's file, in the order of `TABLES`; zeros where there is none."""
    changed_at_ns: int = 0
    """When the newest file was changed, in nanoseconds since 1970."""
    has_hidden: bool = False
    """Whether a run has not published yet, or has not published all."""

    def add(self, table: str, file: os.DirEntry[str]) -> None:
        """Add the file of a table."""
        signature, changed_at_ns = _sign(file.stat())
        start = _POSITIONS[table] * _SIGNATURE.size
        self.signatures[start : start + _SIGNATURE.size] = signature
        self.changed_at_ns = max(self.changed_at_ns, changed_at_ns)

    def has_file(self, table: str) -> bool:
        """Return whether the table has a file."""
        return any(_select(self.signatures, table))

    def get_signature(self, table: str) -> bytes:
        """Return the signature of a table's file; zeros if there is none."""
        return _select(self.signatures, table)


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
        return any(_select(self.signatures, table))

    def get_signature(self, table: str) -> bytes:
        """Return the signature of a table's file, as it was before it was read."""
        return _select(self.signatures, table)

    def remember(self) -> tuple[bytes, list[str]]:
        """Return what `recall_day` needs if no file changes: the signatures, and the tables with other columns."""
        return self.signatures, sorted(self.older)


def sign_file(path: Path) -> bytes:
    """Return the signature of a file, which another content changes: size, time of change and inode."""
    return _sign(path.stat())[0]


def scan_lake(data: DataDir, tables: Iterable[Table] = tuple(TABLES.values())) -> dict[str, DayFiles]:
    """Return the published files of tables by their folder, in the order of account and day; first those of all accounts."""
    found: dict[str, DayFiles] = {}
    for table in tables:
        for folder, path in _list_folders(data.lake / table.name, table):
            if folder not in found:
                partition = parse_any_folder(Path(folder))
                if partition is None:
                    continue
                found[folder] = DayFiles(partition)
            for file in _list(path):
                if file.name == DATA_FILE:
                    with suppress(FileNotFoundError):
                        found[folder].add(table.name, file)
                elif file.name.startswith(f".{DATA_FILE}."):
                    found[folder].has_hidden = True
    return dict(sorted(found.items(), key=lambda item: _build_sort_key(item[1].partition)))


def _list_folders(root: Path, table: Table) -> Iterator[tuple[str, str]]:
    """Yield the folders of a table's partitions: relative to that of the table, and whole."""
    if not table.per_account:
        yield from ((day.name, day.path) for day in _list(root, "snapshot_date="))
        return
    for account in _list(root, "account_id="):
        yield from ((f"{account.name}/{day.name}", day.path) for day in _list(account.path, "snapshot_date="))


def _build_sort_key(partition: AnyPartition) -> tuple[str, date]:
    return partition.account_id if isinstance(partition, Partition) else "", partition.day


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
        if not any(_select(files.signatures, table.name)):
            continue
        try:
            found = list(find_committed(data, table, [files.partition], lambda path: select_metadata(footers(path))))
            for _, file in found:
                readable.add(table.name)
                if not footers(file).schema.equals(_describe_columns(table)):
                    older.add(table.name)
        except LakeError as error:
            if path.exists():  # else it was removed meanwhile
                reasons[table.name] = str(error)
            found = []
        is_complete = is_complete and bool(found)
    is_settled = files.changed_at_ns + SETTLED_AFTER_NS < now_ns
    tables = _share(frozenset(readable)), _share(frozenset(older))
    return Day(files.partition, bytes(files.signatures), *tables, reasons, is_settled, is_complete)


def recall_day(files: DayFiles, older: Iterable[str]) -> Day:
    """Return a complete day that did not change since it was judged; `older` is what was found then."""
    signatures = bytes(files.signatures)
    readable = _share(frozenset(table for table in TABLES if any(_select(signatures, table))))
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


def _list(folder: str | Path, prefix: str = "") -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder under names that begin so; nothing of what is no folder, or may not be read."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.name.startswith(prefix))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return


def _sign(status: os.stat_result) -> tuple[bytes, int]:
    inode = status.st_ino % 2**64
    return _SIGNATURE.pack(status.st_size, status.st_mtime_ns, inode), status.st_mtime_ns


def _select(signatures: bytes | bytearray, table: str) -> bytes:
    start = _POSITIONS[table] * _SIGNATURE.size
    return bytes(signatures[start : start + _SIGNATURE.size])


@cache
def _share(tables: frozenset[str]) -> frozenset[str]:
    """Return the same set for all days with the same tables: 750 bytes a day otherwise."""
    return tables


@cache
def _describe_columns(table: Table) -> pq.ParquetSchema:
    """Return the columns of a file that this version writes."""
    with io.BytesIO() as empty:
        pq.write_table(arrow_schema(table).empty_table(), empty)
        return pq.read_metadata(empty).schema
