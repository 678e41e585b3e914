"""The published files of the lake as its folders list them: which partitions there are, and the signature of each file.

Belongs here: listing folders, and size, time of change and inode of files. No file is opened. Not here: what a file holds
(`files.py`), and the index of what was found (`index.py`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

_SIGNATURE = struct.Struct("<QqQ")
_POSITIONS = {name: position for position, name in enumerate(TABLES)}


@dataclass(slots=True)
class DayFiles:
    """The files of a partition, as the folders list them: none of them is opened for it."""

    partition: AnyPartition
    signatures: bytearray = field(default_factory=lambda: bytearray(_SIGNATURE.size * len(TABLES)))
    """The signature of each table's file, in the order of `TABLES`; zeros where there is none."""
    has_hidden: bool = False
    """Whether a run has not published yet, or has not published all."""
    has_leftover: bool = False
    """Whether a failed run left an empty folder, or a killed one what its queries spilled."""

    def add(self, table: str, file: os.DirEntry[str]) -> None:
        """Add the file of a table."""
        start = _POSITIONS[table] * _SIGNATURE.size
        self.signatures[start : start + _SIGNATURE.size] = _sign(file.stat())

    def has_file(self, table: str) -> bool:
        """Return whether the table has a file."""
        return any(select_signature(self.signatures, table))

    def get_signature(self, table: str) -> bytes:
        """Return the signature of a table's file; zeros if there is none."""
        return select_signature(self.signatures, table)


def sign_file(path: Path) -> bytes:
    """Return the signature of a file, which another content changes: size, time of change and inode."""
    return _sign(path.stat())


def scan_lake(
    data: DataDir, tables: Iterable[Table] = tuple(TABLES.values()), account_ids: Collection[str] | None = None
) -> dict[str, DayFiles]:
    """Return the published files of tables by their folder, in the order of account and day; first those of all accounts.

    With `account_ids`, only those of these accounts and of tables over all accounts.
    """
    found: dict[str, DayFiles] = {}
    for table in tables:
        for folder, path in _list_folders(data.lake / table.name, table, account_ids):
            if folder not in found:
                partition = parse_any_folder(Path(folder))
                if partition is None:
                    continue
                found[folder] = DayFiles(partition)
            _add_files(found[folder], table, path)
    return dict(sorted(found.items(), key=lambda item: sort_key(item[1].partition)))


def scan_partition(data: DataDir, partition: AnyPartition) -> DayFiles:
    """Return the published files of a partition."""
    found = DayFiles(partition)
    for table in TABLES.values():
        if table.per_account is isinstance(partition, Partition):
            _add_files(found, table, data.file(table, partition).parent)
    return found


def list_accounts(data: DataDir) -> dict[str, int]:
    """Return the accounts with a folder in any table, each with the time of the latest change of its snapshots' folder.

    In nanoseconds since 1970; 0 if it has no snapshots. The time changes when a day is added or removed.
    """
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
    return max(int(changed_ns) for _, changed_ns, _ in _SIGNATURE.iter_unpack(signatures))


def sum_sizes(signatures: bytes | bytearray) -> int:
    """Return the bytes of signed files together."""
    return sum(size for size, _, _ in _SIGNATURE.iter_unpack(signatures))


def encode_tables(signatures: bytes | bytearray) -> int:
    """Return a bit for each table that has a signature."""
    return sum(select_bit(table) for table in TABLES if any(select_signature(signatures, table)))


def select_bit(table: str) -> int:
    """Return the bit of a table."""
    return 1 << _POSITIONS[table]


def select_signature(signatures: bytes | bytearray, table: str) -> bytes:
    """Return the signature of a table's file, of those of a partition; zeros if there is none."""
    start = _POSITIONS[table] * _SIGNATURE.size
    return bytes(signatures[start : start + _SIGNATURE.size])


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
                found.add(table.name, file)
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


def _sign(status: os.stat_result) -> bytes:
    return _SIGNATURE.pack(status.st_size, status.st_mtime_ns, status.st_ino % 2**64)
