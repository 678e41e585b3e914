"""The published files of the lake as its store lists them: which partitions there are, and the signature of each file.

Belongs here: listings. No file is opened. On a disk its folders are listed, since they also have what dead runs left. Not
here: what a file holds (`files.py`), and the index of what was found (`index.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar

from lms_pipeline.concurrency import map_in_order
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.storage.store import SIGNATURE_BYTES, StoredFile, pack_signature, unpack_signatures
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

T = TypeVar("T")
R = TypeVar("R")

MAX_LISTINGS = 16
"""Requests to a bucket at a time."""
_POSITIONS = {name: position for position, name in enumerate(TABLES)}


@dataclass(slots=True)
class DayFiles:
    """The files of a partition, as listings show them: none of them is opened for it."""

    partition: AnyPartition
    signatures: bytearray = field(default_factory=lambda: bytearray(SIGNATURE_BYTES * len(TABLES)))
    """The signature of each table's file, in the order of `TABLES`; zeros where there is none."""
    has_hidden: bool = False
    """Whether a run has not published yet, or has not published all."""
    has_leftover: bool = False
    """Whether a failed run left an empty folder, or a killed one what its queries spilled."""

    def add(self, table: str, signature: bytes) -> None:
        """Add the file of a table, or zeros if it has none."""
        start = _POSITIONS[table] * SIGNATURE_BYTES
        self.signatures[start : start + SIGNATURE_BYTES] = signature

    def has_file(self, table: str) -> bool:
        """Return whether the table has a file."""
        return any(select_signature(self.signatures, table))

    def get_signature(self, table: str) -> bytes:
        """Return the signature of a table's file; zeros if there is none."""
        return select_signature(self.signatures, table)


def scan_lake(
    data: DataDir, tables: Iterable[Table] = tuple(TABLES.values()), account_ids: Collection[str] | None = None
) -> dict[str, DayFiles]:
    """Return the published files of tables by their folder, in the order of account and day; first those of all accounts.

    With `account_ids`, only those of these accounts and of tables over all accounts.

    Raises:
        StoreError: they can't be listed.
    """
    found: dict[str, DayFiles] = {}
    if not data.store.is_local:
        _add_listed(data, found, tables, account_ids)
    else:
        for table in tables:
            for folder, path in _list_folders(data.lake / table.name, table, account_ids):
                if (files := _get_files(found, folder)) is not None:
                    _add_files(files, table, path)
    return dict(sorted(found.items(), key=lambda item: sort_key(item[1].partition)))


def scan_partition(
    data: DataDir, partition: AnyPartition, tables: Iterable[Table] = tuple(TABLES.values()), known: bytes = b""
) -> DayFiles:
    """Return the published files of a partition.

    Args:
        data: the data directory.
        partition: the partition.
        tables: those whose files may have changed. On a disk all are looked at, since one look costs as much.
        known: the signatures of the other tables.

    Raises:
        StoreError: the store can't be used.
    """
    found = DayFiles(partition)
    if data.store.is_local:
        for table in list_tables(partition):
            _add_files(found, table, data.file(table, partition).parent)
        return found
    found.signatures[: len(known)] = known
    looked_at = [table for table in list_tables(partition) if table in tables]
    keys = [data.get_key(data.file(table, partition)) for table in looked_at]
    for table, file in zip(looked_at, map_parallel(data, data.store.find, keys), strict=True):
        found.add(table.name, file.signature if file is not None else bytes(SIGNATURE_BYTES))
    return found


def find_unpublished(data: DataDir, table: Table, partitions: Collection[Partition]) -> list[Partition]:
    """Return those of these partitions without a published file, after a look at each.

    Raises:
        StoreError: the store can't be used.
    """

    def is_published(partition: Partition) -> bool:
        return data.is_published(table, partition)

    found = map_parallel(data, is_published, partitions)
    return [partition for partition, is_there in zip(partitions, found, strict=True) if not is_there]


def list_tables(partition: AnyPartition) -> list[Table]:
    """Return the tables that may have a file of a partition."""
    return [table for table in TABLES.values() if table.per_account is isinstance(partition, Partition)]


def map_parallel(data: DataDir, function: Callable[[T], R], values: Collection[T]) -> list[R]:
    """Return what a function that uses the store returns for each value, in their order: many at a time with a bucket."""
    if len(values) <= 1 or data.store.is_local:
        return [function(value) for value in values]
    return [result for _, result in map_in_order(function, values, min(MAX_LISTINGS, len(values)))]


def list_accounts(data: DataDir) -> dict[str, int]:
    """Return the accounts with a folder in any table, each with the time of the latest change of its snapshots' folder.

    In nanoseconds since 1970; 0 if it has no snapshots, and in a bucket. The time changes when a day is added or removed.
    """
    if not data.store.is_local:
        return dict.fromkeys(data.list_account_ids(), 0)
    folders = [entry.name for table in TABLES.values() for entry in _list(data.lake / table.name, "account_id=")]
    found = {name.removeprefix("account_id="): 0 for name in sorted(set(folders)) if is_account_folder(name)}
    for account_id in found:
        with suppress(FileNotFoundError, NotADirectoryError):
            found[account_id] = int(find_snapshots_folder(data, account_id).stat().st_mtime_ns)
    return found


def list_snapshot_days(data: DataDir, account_id: str) -> set[str]:
    """Return the days of which an account has a folder for its snapshot, as their names say. No such folder is looked into."""
    folder = find_snapshots_folder(data, account_id)
    return {entry.name.removeprefix("snapshot_date=") for entry in _list(folder, "snapshot_date=")}


def find_snapshots_folder(data: DataDir, account_id: str) -> Path:
    """Return the folder with the snapshots of an account, one folder for each day."""
    return data.file(UNIFIED_ENROLLMENTS, Partition(account_id, date.min)).parents[1]


def is_account_folder(name: str) -> bool:
    """Return whether a name is that of an account's folder."""
    return parse_any_folder(Path(name, "snapshot_date=2000-01-01")) is not None


def sort_key(partition: AnyPartition) -> tuple[str, date]:
    """Return the key that puts partitions in the order of account and day, first those of all accounts."""
    return partition.account_id if isinstance(partition, Partition) else "", partition.day


def read_changed_ns(signatures: bytes | bytearray) -> int:
    """Return when the newest of signed files was changed, in nanoseconds since 1970; 0 without a file."""
    return max(changed_ns for _, changed_ns, _ in unpack_signatures(signatures))


def encode_tables(signatures: bytes | bytearray) -> int:
    """Return a bit for each table that has a signature."""
    return sum(select_bit(table) for table in TABLES if any(select_signature(signatures, table)))


def select_bit(table: str) -> int:
    """Return the bit of a table."""
    return 1 << _POSITIONS[table]


def select_signature(signatures: bytes | bytearray, table: str) -> bytes:
    """Return the signature of a table's file, of those of a partition; zeros if there is none."""
    start = _POSITIONS[table] * SIGNATURE_BYTES
    return bytes(signatures[start : start + SIGNATURE_BYTES])


def _get_files(found: dict[str, DayFiles], folder: str) -> DayFiles | None:
    """Return the files of a partition's folder, which are none at first; None for other folders."""
    if folder not in found:
        partition = parse_any_folder(Path(folder))
        if partition is None:
            return None
        found[folder] = DayFiles(partition)
    return found[folder]


def _add_listed(
    data: DataDir, found: dict[str, DayFiles], tables: Iterable[Table], account_ids: Collection[str] | None
) -> None:
    """Add what a bucket lists of tables."""
    roots = {f"{data.get_key(data.lake)}/{table.name}/": table for table in tables}
    prefixes = [
        f"{root}{folder}"
        for root, table in roots.items()
        for folder in (
            [""] if account_ids is None or not table.per_account else [f"account_id={one}/" for one in account_ids]
        )
    ]

    def list_files(prefix: str) -> list[StoredFile]:
        return list(data.store.list_files(prefix))

    for prefix, listed in zip(prefixes, map_parallel(data, list_files, prefixes), strict=True):
        root = next(root for root in roots if prefix.startswith(root))
        for file in (one for one in listed if one.key.endswith(f"/{DATA_FILE}")):
            files = _get_files(found, str(Path(file.key.removeprefix(root)).parent))
            if files is not None and isinstance(files.partition, Partition) is roots[root].per_account:
                files.add(roots[root].name, file.signature)


def _list_folders(root: Path, table: Table, account_ids: Collection[str] | None) -> Iterator[tuple[str, str]]:
    """Yield the folders of a table's partitions: relative to that of the table, and whole."""
    if not table.per_account:
        yield from ((day.name, day.path) for day in _list(root, "snapshot_date="))
        return
    if account_ids is None:
        accounts = ((account.name, account.path) for account in _list(root, "account_id="))
    else:
        names = (f"account_id={account_id}" for account_id in account_ids)
        accounts = ((name, str(root / name)) for name in names)
    for name, path in accounts:
        yield from ((f"{name}/{day.name}", day.path) for day in _list(path, "snapshot_date="))


def _add_files(found: DayFiles, table: Table, folder: str | Path) -> None:
    files = list(_list(folder))
    found.has_leftover |= not files and Path(folder).is_dir()
    for file in files:
        if file.name == DATA_FILE:
            with suppress(FileNotFoundError):
                status = file.stat()
                found.add(table.name, pack_signature(status.st_size, status.st_mtime_ns, status.st_ino))
        elif file.name.startswith(f".{DATA_FILE}."):
            found.has_hidden = True
        elif file.name.startswith("duckdb_temp_"):
            found.has_leftover = True


def _list(folder: str | Path, prefix: str = "") -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder under names that begin so; nothing of what is no folder, or may not be read."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.name.startswith(prefix))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
