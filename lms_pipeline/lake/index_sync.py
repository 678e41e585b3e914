"""How the index of what is published follows the lake: publications that write to it, and a comparison that finds the rest.

Belongs here: when the index is written and compared, and that it is built again if it is missing or damaged. Not here: what
it holds (`index.py`), and where it is (`index_file.py`).
"""

# A run notes a partition in the index before it makes a file there, and removes the note after the index has its files. A
# note of a run that died makes readers look at the partition. Changes by hand leave no note. They are found
# - at each comparison: an account that is added or removed, and a day that is added to an account or removed from it,
#   which changes the time of the folder with its snapshots;
# - within days: a file that is replaced, added or removed within a day, since each comparison looks at every file of
#   the accounts whose turn it is. With up to `COMPARED_DAYS` account-days, that is the whole lake.

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from lms_pipeline.errors import LakeError, StorageError, format_count
from lms_pipeline.lake.files import select_metadata
from lms_pipeline.lake.index import DamagedIndexError, PublicationIndex, PublishedDay
from lms_pipeline.lake.index_file import open_index
from lms_pipeline.lake.lock import ABANDONED_AFTER
from lms_pipeline.lake.paths import AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.lake.scan import DayFiles, list_accounts, list_snapshot_days, map_parallel, scan_lake, scan_partition
from lms_pipeline.lake.stored_footers import read_footer_of, read_stored_metadata
from lms_pipeline.storage.store import StoreError
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

T = TypeVar("T")

COMPARED_DAYS: Final = 1_000
"""Account-days whose files a comparison looks at, whatever changed: 0.05 s. 365,000 account-days take 365 comparisons, which
`watch_fleet` makes in 15 days. It is a tenth of a build of the warehouse with one more day of 100 accounts among 2,000."""
ACCOUNTS_AT_A_TIME: Final = 50
"""Accounts whose files are in memory at the same time."""

LAYOUT = "layout"
"""The mark with what the signatures in the index mean. Without it, or with another one, the index is built again."""
TURN = "turn"
"""The mark with the last account whose files were compared."""
LEFTOVERS = "leftovers"
"""The owner of a note about a partition with unpublished files or empty folders of a run that is not at work."""
FOLDER = "folder "
"""Begins the marks with the time of an account's folder."""

log = logging.getLogger(__name__)


def read_index(
    data: DataDir, read: Callable[[PublicationIndex], T], *, is_compared: bool = True, may_build: bool = True
) -> T:
    """Return what a function reads from the index, after the index has followed the lake.

    A damaged index is set aside and built again; then `read` is called once more. An index that is new, or of another
    layout or disk, is built too.

    Args:
        data: the data directory.
        read: gets the index, and returns a result that does not use it any more.
        is_compared: whether changes by hand are looked for. Otherwise only publications count, and no folder is listed.
        may_build: whether the index is built if it has to be, which takes minutes in a large lake. A tick has no such time.

    Raises:
        LakeError: the index can't be read or written, or has to be built.
        StorageError: the database of the index, or the store, can't be used.
    """

    def follow_and_read(index: PublicationIndex) -> T:
        _follow(data, index, is_compared=is_compared, may_build=may_build)
        return read(index)

    return _use(data, follow_and_read)


def rebuild_index(data: DataDir) -> int:
    """Build the index from the lake. Return the number of account-days, with the days over all accounts.

    Raises:
        LakeError: it can't be written, or a folder can't be read.
        StorageError: the database of the index, or the store, can't be used.
    """
    _use(data, lambda index: index.reset())
    return read_index(data, lambda index: index.count_days())


@contextmanager
def noting_changes(data: DataDir, partition: AnyPartition, owner: str) -> Iterator[None]:
    """Note that a run changes files of a partition in the block; then store which are there.

    Raises:
        LakeError, StateError: the note can't be written. Nothing may be published without it.
    """
    begin_changes(data, partition, owner)
    try:
        yield
    finally:
        finish_changes(data, partition, owner)


def begin_changes(data: DataDir, partition: AnyPartition, owner: str) -> None:
    """Note that a run is about to change files of a partition.

    Raises:
        LakeError, StateError: the note can't be written. Nothing may be published without it.
    """
    _use(data, lambda index: index.begin(partition, owner))


def finish_changes(
    data: DataDir, partition: AnyPartition, owner: str, tables: Collection[Table] = tuple(TABLES.values())
) -> None:
    """Store which files of a partition are published. If that fails, the note stays, and the next reader does it.

    `tables` are those whose files were published or removed.
    """
    try:
        with open_index(data) as index:
            observer = _Observer(data, tables)
            index.update([partition], observer)
            _note_leftovers(index, observer.latest)
            index.finish(partition, owner)
    except (LakeError, StorageError) as error:
        log.warning("The index does not have %s yet: %s", partition, error)


def _use(data: DataDir, use: Callable[[PublicationIndex], T]) -> T:
    """Return what a function does with the index: if that is damaged, once more with a new one."""
    try:
        with open_index(data) as index:
            return use(index)
    except DamagedIndexError as error:
        error.set_aside()
    with open_index(data) as index:
        return use(index)


class _Observer:
    """Looks at the files of partitions; reads the footer of the enrollments if their file is another one."""

    def __init__(
        self, data: DataDir, tables: Collection[Table] = tuple(TABLES.values()), listed: Iterable[DayFiles] = ()
    ) -> None:
        """Look at the files of these tables. What a bucket has just `listed` of new partitions is not requested again.

        The footers of listed files are read here, many at a time: other processes wait while a partition is looked at.
        """
        self._data = data
        self._tables = tables
        self._listed: dict[AnyPartition, DayFiles] = {}
        self._versions: dict[AnyPartition, int | None] = {}
        self.latest: list[DayFiles] = []
        """The files of the partition that was looked at last."""
        self._read_ahead(list(listed))

    def __call__(self, partition: AnyPartition, stored: PublishedDay | None) -> PublishedDay:
        """Return what is published of a partition. The index has no schema version of a damaged file.

        Raises:
            StoreError: the store can't be used.
        """
        files = self._scan(partition, stored)
        self.latest = [files]
        signatures, table = bytes(files.signatures), UNIFIED_ENROLLMENTS.name
        if stored is not None and files.get_signature(table) == stored.get_signature(table):
            return replace(stored, signatures=signatures)
        if not files.has_file(table):
            return PublishedDay(partition, signatures)
        is_read = files is self._listed.get(partition)
        return PublishedDay(partition, signatures, self._versions[partition] if is_read else self._read_version(files))

    def _scan(self, partition: AnyPartition, stored: PublishedDay | None) -> DayFiles:
        if stored is None and partition in self._listed:
            return self._listed[partition]
        return scan_partition(self._data, partition, self._tables, stored.signatures if stored is not None else b"")

    def _read_ahead(self, listed: Sequence[DayFiles]) -> None:
        """Read the schema versions of listed files. One that was replaced meanwhile is looked at again later."""

        def read(files: DayFiles) -> int | None:
            with suppress(StoreError):
                version = self._read_version(files) if files.enrollments is not None else None
                self._listed[files.partition] = files
                return version
            return None

        versions = map_parallel(self._data, read, listed)
        self._versions = {files.partition: version for files, version in zip(listed, versions, strict=True)}

    def _read_version(self, files: DayFiles) -> int | None:
        """Return the schema version of the enrollments; None if their file can't be read: who reads it says what is wrong.

        Raises:
            StoreError: the store can't be used, or the file was replaced since it was found.
        """
        store, file = self._data.store, files.enrollments
        try:
            if file is None:
                key = self._data.get_key(self._data.file(UNIFIED_ENROLLMENTS, files.partition))
                entries = read_stored_metadata(store, key) or {}
            else:
                entries = select_metadata(read_footer_of(store, file))
            return int(entries.get("schema_version", "0"))
        except LakeError:
            return None


def _follow(data: DataDir, index: PublicationIndex, *, is_compared: bool, may_build: bool) -> None:
    """Bring the index up to date with the lake."""
    layout = _describe_layout(data)
    if index.read_marks(LAYOUT).get(LAYOUT) != layout:
        if not may_build:
            raise LakeError(
                "The index of the published files is not built yet: the next comparison of the lake builds it."
            )
        with data.storage.state.lock("index_build"):
            if index.read_marks(LAYOUT).get(LAYOUT) != layout:  # another process has not built it meanwhile
                _build(data, index, layout)
                return
    if is_compared or data.store.is_local:
        _settle(data, index)
    if is_compared and data.store.is_local:  # nobody changes a bucket by hand
        accounts = list_accounts(data)
        _compare_folders(data, index, accounts)
        _compare_next(data, index, accounts)


def _describe_layout(data: DataDir) -> str:
    """Return what decides the meaning of signatures: the tables in their order, and the disk, since a copy has other inodes.

    In the place of the disk, a bucket has its address.
    """
    place: object = data.store.describe(data.get_key(data.lake))
    if data.store.is_local:
        place = data.lake.stat().st_ino if data.lake.exists() else 0
    return f"{place} {' '.join(TABLES)}"


def _build(data: DataDir, index: PublicationIndex, layout: str) -> None:
    """List the whole lake, some accounts at a time."""
    index.reset()
    accounts = list_accounts(data)
    if accounts:
        log.info("The index of the published files is built from %s.", format_count(len(accounts), "account"))
    _compare_accounts(data, index, ["", *accounts])
    index.write_marks({f"{FOLDER}{account_id}": str(changed) for account_id, changed in accounts.items()})
    _settle(data, index)
    index.write_marks({LAYOUT: layout})


def _settle(data: DataDir, index: PublicationIndex) -> None:
    """Look at the partitions in which a run may have files that the index lacks: it is at work, or died."""
    pending = index.find_pending()
    index.update(dict.fromkeys(one.partition for one in pending), _Observer(data))
    now = datetime.now(UTC)
    for one in pending:
        if one.owner == LEFTOVERS or now - one.began_at > ABANDONED_AFTER:
            files = scan_partition(data, one.partition)
            if not files.has_hidden and not files.has_leftover:
                index.finish(one.partition, one.owner)


def _note_leftovers(index: PublicationIndex, seen: Iterable[DayFiles]) -> None:
    """Note the partitions with files or folders that a dead run left, until they are gone."""
    found = [files.partition for files in seen if files.has_hidden or files.has_leftover]
    known = {one.partition for one in index.find_pending() if one.owner == LEFTOVERS} if found else set()
    for partition in found:
        if partition not in known:
            index.begin(partition, LEFTOVERS)


def _compare_folders(data: DataDir, index: PublicationIndex, accounts: Mapping[str, int]) -> None:
    """Find days that were added or removed: their account's folder has another time than at the last comparison."""
    marks = index.read_marks(FOLDER)
    known = {name.removeprefix(FOLDER): value for name, value in marks.items()}
    new = [account_id for account_id in accounts if account_id not in known]
    gone = [account_id for account_id in known if account_id not in accounts]
    _compare_accounts(data, index, [*new, *gone])
    changed = [
        account_id
        for account_id, time_ns in accounts.items()
        if account_id in known and known[account_id] != str(time_ns)
    ]
    for account_id in changed:
        stored = index.find_account_days(UNIFIED_ENROLLMENTS.name, account_id).get(account_id, ())
        different = list_snapshot_days(data, account_id) ^ {day.isoformat() for day in stored}
        folders = (f"account_id={account_id}/snapshot_date={day}" for day in sorted(different))
        index.update(_parse_folders(folders), _Observer(data))
    # the times from before the folders were listed: a later change is found by the next comparison
    times = {f"{FOLDER}{account_id}": str(accounts[account_id]) for account_id in (*new, *changed)}
    index.write_marks({**times, **dict.fromkeys(f"{FOLDER}{account_id}" for account_id in gone)})


def _compare_next(data: DataDir, index: PublicationIndex, accounts: Mapping[str, int]) -> None:
    """Look at each file of the accounts whose turn it is, of all in a small lake; those of all accounts are few."""
    if index.count_days() <= COMPARED_DAYS:
        _compare_accounts(data, index, ["", *accounts])
        return
    last = index.read_marks(TURN).get(TURN, "")
    turn = index.find_next_accounts(last, COMPARED_DAYS) or index.find_next_accounts("", COMPARED_DAYS)
    _compare_accounts(data, index, ["", *turn])
    index.write_marks({TURN: turn[-1]})


def _compare_accounts(data: DataDir, index: PublicationIndex, account_ids: Sequence[str]) -> None:
    """Look at each file of accounts, some accounts at a time, and store what differs; `""` is all accounts together."""
    for start in range(0, len(account_ids), ACCOUNTS_AT_A_TIME):
        _compare_some(data, index, account_ids[start : start + ACCOUNTS_AT_A_TIME])


def _compare_some(data: DataDir, index: PublicationIndex, account_ids: Sequence[str]) -> None:
    seen = scan_lake(data, account_ids=[account_id for account_id in account_ids if account_id])
    stored = {
        day.partition.folder.as_posix(): day.signatures
        for account_id in account_ids
        for day in index.find(account_id=account_id)
    }
    if "" not in account_ids:
        seen = {folder: files for folder, files in seen.items() if isinstance(files.partition, Partition)}
    different = [
        files.partition
        for folder, files in seen.items()
        if bytes(files.signatures) != stored.get(folder, bytes(len(files.signatures)))
    ]
    _note_leftovers(index, seen.values())
    listed = () if data.store.is_local else (seen[partition.folder.as_posix()] for partition in different)
    observer = _Observer(data, listed=listed)
    index.update([*different, *_parse_folders(sorted(stored.keys() - seen.keys()))], observer)


def _parse_folders(folders: Iterable[str]) -> Iterator[AnyPartition]:
    return filter(None, (parse_any_folder(Path(folder)) for folder in folders))
