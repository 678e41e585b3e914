"""Paths of all files under `LMS_DATA_DIR`, and the ids that may become paths.

Belongs here: names of files and folders. Their content is `files.py` and `reading.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self, TypeAlias

from lms_pipeline.errors import WrongUseError
from lms_pipeline.settings import Settings
from lms_pipeline.storage.disk import convert_disk_errors
from lms_pipeline.storage.opening import Storage, open_local_storage, open_storage
from lms_pipeline.storage.state import REGISTRY
from lms_pipeline.storage.store import Store
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

DATA_FILE = "data.parquet"
CHECKPOINTS_FOLDER = "answers"
FINGERPRINTS_FOLDER = "details"
"""The folders of checkpoints and of roster fingerprints in a bucket, where days come before accounts."""
DEMO_MARK = "state/demo"
"""Marks the data directory of the demo."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class BadIdError(WrongUseError):
    """An id that must not become a path."""


def check_account_id(text: str) -> str:
    """Return the id if it may become a path.

    Raises:
        BadIdError: it has other characters than letters, digits, `_` and `-`, or more than 64.
    """
    if not _ID.fullmatch(text):
        raise BadIdError(
            f"{text[:80]!r} can't be an account id: it must be 1 to 64 letters, digits, '-' and '_', "
            "and begin with a letter or digit."
        )
    return text


@dataclass(frozen=True, slots=True)
class Partition:
    """One account and day."""

    account_id: str
    day: date

    def __post_init__(self) -> None:
        check_account_id(self.account_id)

    @property
    def folder(self) -> Path:
        """Its folder, relative to that of a table, in Hive's layout."""
        return Path(f"account_id={self.account_id}", f"snapshot_date={self.day.isoformat()}")

    def __str__(self) -> str:
        return f"{self.account_id} on {self.day}"


@dataclass(frozen=True, slots=True)
class DayPartition:
    """One day of a table over all accounts."""

    day: date

    @property
    def folder(self) -> Path:
        """Its folder, relative to that of a table, in Hive's layout."""
        return Path(f"snapshot_date={self.day.isoformat()}")

    def __str__(self) -> str:
        return f"all accounts on {self.day}"


AnyPartition: TypeAlias = Partition | DayPartition
"""What a file of a table is about, see `Table.per_account`."""


def parse_folder(folder: Path) -> Partition | None:
    """Return the partition of a folder, given relative to that of its table; None for other folders."""
    values = dict(part.split("=", 1) for part in folder.parts if "=" in part)
    try:
        partition = Partition(values.get("account_id", ""), date.fromisoformat(values.get("snapshot_date", "")))
    except (ValueError, BadIdError):
        return None
    # `20260101` is also read as a date, but is not how we write it
    return partition if partition.folder == folder else None


def find_partition_paths(root: Path, account_id: str | None = None) -> Iterator[tuple[Partition, Path]]:
    """Yield files and folders by account and day, in this order, of all accounts or of one. Skip names that are no partition's.

    Raises:
        BadIdError: the account's id is not valid.
    """
    account = "*" if account_id is None else check_account_id(account_id)
    for path in sorted(root.glob(f"account_id={account}/snapshot_date=*")):
        partition = parse_folder(path.relative_to(root).with_name(path.name.partition(".")[0]))
        if partition is not None:
            yield partition, path


def parse_any_folder(folder: Path) -> AnyPartition | None:
    """Return the partition of a folder of any table, given relative to that of its table; None for other folders."""
    if len(folder.parts) > 1:
        return parse_folder(folder)
    # an account that can be any: what is left is the day
    partition = parse_folder(Path("account_id=a") / folder)
    return DayPartition(partition.day) if partition is not None else None


def _build_day_key(folder: str, partition: Partition, suffix: str) -> str:
    return f"{folder}/{DayPartition(partition.day).folder}/account_id={partition.account_id}{suffix}"


class DataDir:
    """The folder `LMS_DATA_DIR`, and what lies where in it."""

    def __init__(self, root: Path, storage: Storage | None = None) -> None:
        """Describe a folder; without a storage, everything of it is on this machine."""
        self.storage: Final = storage or open_local_storage(root)
        """Where what must last is kept."""
        self.root: Final = root
        self.lake: Final = root / "lake"
        """The Parquet tree."""
        self.roll_ups: Final = root / "lake_by_day"
        """The roll-ups: of each table and day one file over all accounts, made from the lake."""
        self.warehouse: Final = root / ("lms.duckdb" if self.store.is_local else "warehouse/lms.duckdb")
        """The DuckDB file over the lake."""
        self.reports: Final = root / "reports"
        """The completion reports."""
        self.checkpoints: Final = root / CHECKPOINTS_FOLDER
        """The API's responses, by account and day."""
        self.state: Final = root / "state"
        """The registry, locks, and files that runs leave for later runs. With LMS_STATE_URL the registry and the notes are
        in the database, by the names of these files."""
        self.registry: Final = self.state / REGISTRY
        """The registry of accounts."""
        self.accounts_refused: Final = self.state / "accounts_refused.json"
        """Why the latest list of accounts was refused; missing if it was used."""
        self.time_zone: Final = self.state / "time_zone"
        """The name of the time zone whose days the snapshots are."""
        self.token_refused: Final = self.state / "token_refused.json"
        """The flag of a token that Truto refused."""
        self.sent_alerts: Final = self.state / "alerts.json"
        """The failures that were reported."""
        self.index: Final = self.state / "index.sqlite"
        """The index of what is published."""
        self.left_out: Final = self.state / "left_out.json"
        """Which files the latest build of the warehouse left out."""
        self.budgets: Final = self.state / "budgets"
        """Recent calls, by token and account."""
        self.fingerprints: Final = self.state / FINGERPRINTS_FOLDER
        """Roster fingerprints, with which the next plan compares, by account and day."""
        self.pulls: Final = self.state / "pulls"
        """Locks and scratch folders of pulls, by account and day."""

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Return the data directory of this installation.

        Raises:
            SettingsError: the place of the lake or of the state can't be used.
        """
        root = settings.data_dir
        is_demo = (root / DEMO_MARK).exists
        return cls(root, open_storage(root, settings.lake_url, settings.state_url, is_demo=is_demo))

    @property
    def store(self) -> Store:
        """Where published files are kept."""
        return self.storage.store

    def get_note(self, path: Path) -> str:
        """Return the name in `State` of a file below the state folder."""
        return path.relative_to(self.state).as_posix()

    def get_key(self, path: Path) -> str:
        """Return the key of a file below this folder in the store."""
        return path.relative_to(self.root).as_posix()

    def describe(self, path: Path) -> str:
        """Return where a file below this folder is kept, for people and other programs: a path, or an address in a bucket."""
        return self.store.describe(self.get_key(path))

    def checkpoint_path(self, partition: Partition, *, lists_only: bool = False) -> Path:
        """The API's responses for an account and day; a run for lists only leaves those of the enrollments alone."""
        return self.checkpoints / partition.folder.with_suffix(".lists.sqlite" if lists_only else ".sqlite")

    def report_path(self, day: date, account_id: str | None = None, *, with_names: bool = False) -> Path:
        """The report of a day, of one account or of all; one with names has a name of its own, so that it is not mistaken."""
        of = "" if account_id is None else f"-{check_account_id(account_id)}"
        return self.reports / f"completion-{day.isoformat()}{of}{'-names' if with_names else ''}.html"

    def checkpoint_key(self, partition: Partition, *, lists_only: bool = False) -> str:
        """The key of a checkpoint. In a bucket its day comes first, so that the listing of a day has all accounts."""
        if self.store.is_local:
            return self.get_key(self.checkpoint_path(partition, lists_only=lists_only))
        suffix = ".lists.sqlite" if lists_only else ".sqlite"
        return _build_day_key(CHECKPOINTS_FOLDER, partition, suffix)

    def fingerprints_path(self, partition: Partition) -> Path:
        """The roster fingerprint of each enrollment of a snapshot."""
        if self.store.is_local:
            return self.fingerprints / partition.folder.with_suffix(".parquet")
        return self.root / _build_day_key(FINGERPRINTS_FOLDER, partition, ".parquet")

    def pull_folder(self, partition: Partition) -> Path:
        """The folder of a pull's lock and scratch files."""
        return self.pulls / partition.folder

    def roll_up(self, table: Table, day: date) -> Path:
        """The roll-up of a table and day."""
        return self.roll_ups / table.name / DayPartition(day).folder / DATA_FILE

    def file(self, table: Table, partition: AnyPartition) -> Path:
        """The published file of a table and partition."""
        return self.lake / table.name / partition.folder / DATA_FILE

    def unpublished_file(self, table: Table, partition: AnyPartition, run_id: str) -> Path:
        """The file of a table and partition that a run writes before it is published.

        Raises:
            BadIdError: the run's id can't become a path.
        """
        if not _ID.fullmatch(run_id):
            raise BadIdError(f"{run_id[:80]!r} can't be a run id: use letters, digits, '-' and '_'.")
        return self.file(table, partition).with_name(f".{DATA_FILE}.{run_id}")

    def second_unpublished_file(self, table: Table, partition: AnyPartition, run_id: str) -> Path:
        """The file in which a run writes rows again, before it removes the first one."""
        first = self.unpublished_file(table, partition, run_id)
        return first.with_name(f"{first.name}.second")  # no run id has a dot

    def fetch(self, tables: Iterable[Table], partitions: Iterable[AnyPartition]) -> None:
        """Make the local files of tables and partitions equal to what is published. On a disk they are.

        Raises:
            StoreError: they can't be fetched.
        """
        tables = tuple(tables)
        self.store.fetch(
            self.get_key(self.file(table, partition))
            for partition in partitions
            for table in tables
            if table.per_account is isinstance(partition, Partition)
        )

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """Yield the path of a new file, which is stored in place of `path` when the block ends, whatever is stored.

        If the block raises, nothing is stored. All writers of one path share the name of the new file, so they must hold a lock.

        Raises:
            StoreError: it can't be stored.
            LakeError: it can't be written.
        """
        new = path.with_name(f"{path.name}.new")
        with convert_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield new
                self.store.send(new, self.get_key(path))
            finally:
                new.unlink(missing_ok=True)

    def is_published(self, table: Table, partition: AnyPartition) -> bool:
        """Return whether a table has a published file of a partition."""
        return self.store.find(self.get_key(self.file(table, partition))) is not None

    def list_account_ids(self) -> list[str]:
        """Return the accounts that have a published file."""
        lake = self.get_key(self.lake)
        tables = self.store.list_folders(f"{lake}/")
        folders = {folder for table in tables for folder in self.store.list_folders(f"{lake}/{table}/")}
        ids = (folder.removeprefix("account_id=") for folder in folders if folder.startswith("account_id="))
        return sorted(filter(_ID.fullmatch, ids))

    def find_partitions(self, table: Table, account_id: str | None = None) -> Iterator[Partition]:
        """Yield the published partitions of a table by account and day, or those of one account.

        Folders with other names are left out.
        """
        folder = "" if account_id is None else f"account_id={check_account_id(account_id)}/"
        found = (one for one in self._find_any(table, folder) if isinstance(one, Partition))
        yield from sorted(found, key=lambda one: (one.account_id, one.day))

    def find_any_partitions(self, table: Table) -> Iterator[AnyPartition]:
        """Yield the published partitions of a table: by account and day, or by day if it is over all accounts."""
        if table.per_account:
            yield from self.find_partitions(table)
            return
        yield from (one for one in self._find_any(table, "") if isinstance(one, DayPartition))

    def _find_any(self, table: Table, folder: str) -> Iterator[AnyPartition]:
        """Yield the partitions of the published files in a folder of a table."""
        root = f"{self.get_key(self.lake)}/{table.name}/"
        for file in self.store.list_files(f"{root}{folder}"):
            if file.key.endswith(f"/{DATA_FILE}"):
                partition = parse_any_folder(Path(file.key.removeprefix(root)).parent)
                if partition is not None:
                    yield partition

    def find_latest_snapshot(self, account_id: str, *, before: date) -> Partition | None:
        """Return the account's latest published snapshot before a day, None if there is none."""
        account = self.file(UNIFIED_ENROLLMENTS, Partition(account_id, date.min)).parents[1]
        for name in reversed(self.store.list_folders(f"{self.get_key(account)}/")):
            partition = parse_folder(Path(account.name, name))
            if partition is not None and partition.day < before and self.is_published(UNIFIED_ENROLLMENTS, partition):
                return partition
        return None
