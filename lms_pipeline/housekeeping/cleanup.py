"""Expired items of a data directory: finding and removing them.

Belongs here: looking at the disk and changing it. Not here: how long items are kept (`policy.py`), and the logs of
Dagster's runs (`defs/run_logs.py`).
"""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec

from lms_pipeline.accounts.options import load_options
from lms_pipeline.accounts.registry import GONE, INACTIVE, Registry
from lms_pipeline.errors import LakeError, StorageError
from lms_pipeline.housekeeping.payloads import measure_payload_bytes, remove_payloads
from lms_pipeline.housekeeping.policy import ExpiredItem, RetentionPolicy
from lms_pipeline.lake.commit_mark import restore_interrupted
from lms_pipeline.lake.index import IndexState, PublicationIndex, PublishedDay, parse_mark
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.lock import ABANDONED_AFTER, LockedError, partition_lock, passing_lock, remove_folder
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, find_partition_paths, parse_folder
from lms_pipeline.lake.pull_files import (
    FoundPullFile,
    describe_pull_file,
    find_fingerprints,
    find_responses,
    remove_pull_file,
)
from lms_pipeline.lake.scan import DayFiles, list_tables, map_parallel, scan_lake
from lms_pipeline.lake.scratch import find_abandoned_scratch, remove_scratch
from lms_pipeline.settings import Settings
from lms_pipeline.storage.disk import convert_disk_errors, measure_size, read_changed_at
from lms_pipeline.storage.state import StateError
from lms_pipeline.tables.pulled import PULLED_TABLES, REJECTED_ENROLLMENTS

log = logging.getLogger(__name__)

PAYLOADS = "payloads"
"""The mark in the index with the days whose payloads were looked for."""
UNINDEXED = "The whole lake is listed, since the index of the published files can't be used: %s"
"""Is logged on a full disk, which housekeeping has to clear."""
SPILLED_FILES = "duckdb_temp_*"
"""Files in which DuckDB keeps what exceeds its memory; the audit of a file spills beside it."""


def load_policy(settings: Settings) -> RetentionPolicy:
    """Return the retention policy of this installation.

    Raises:
        SettingsError: `LMS_ACCOUNTS_FILE` can't be read. Nothing is removed by guess.
    """
    accounts = Registry.open(settings).read_accounts()
    return RetentionPolicy(
        today=settings.calendar.find_latest_ended(settings.now()),
        answer_days={account_id: options.answer_days for account_id, options in load_options(settings).items()},
        former_accounts={account.id for account in accounts if account.status in {INACTIVE, GONE}},
        rejected_days=settings.rejected_days,
    )


def find_expired(data: DataDir, policy: RetentionPolicy) -> list[ExpiredItem]:
    """Return all expired items of every account, whether it is still pulled or not. Change nothing."""
    return [
        *find_old_responses(data, policy),
        *_find_old_payloads(data, policy),
        *_find_unpublished_files(data, policy),
        *_find_pull_folders(data, policy),
        *_find_call_counters(data, policy),
        *find_temporary_folders(data, policy),
        *find_empty_folders(data, policy),
    ]


def find_old_responses(
    data: DataDir, policy: RetentionPolicy, account_ids: Collection[str] | None = None
) -> Iterator[ExpiredItem]:
    """Yield responses and roster fingerprints of days that can't be replayed any more, of these accounts or of all."""
    # a bucket lists the days of all accounts; a disk has a folder for each
    listed = [None] if account_ids is None or not data.store.is_local else account_ids

    def list_of(find: Callable[[DataDir, str | None], Iterator[FoundPullFile]]) -> Iterator[FoundPullFile]:
        found = chain.from_iterable(find(data, account_id) for account_id in listed)
        return (one for one in found if account_ids is None or one.partition.account_id in account_ids)

    for found in list_of(find_responses):
        if not policy.keeps_responses(found.partition.account_id, found.partition.day):
            yield ExpiredItem("answers", found.path, found.bytes, address=describe_pull_file(data, found.path))
    fingerprints = list(list_of(find_fingerprints))
    latest: dict[str, date] = {}
    for found in fingerprints:
        if found.path.suffix == ".parquet":
            known = latest.get(found.partition.account_id, date.min)
            latest[found.partition.account_id] = max(known, found.partition.day)
    for found in fingerprints:
        partition = found.partition
        is_latest = partition.day == latest.get(partition.account_id)
        if not policy.keeps_roster_fingerprints(partition.account_id, partition.day, is_latest=is_latest):
            yield ExpiredItem("details", found.path, found.bytes, address=describe_pull_file(data, found.path))


class _PayloadMark(msgspec.Struct, frozen=True):
    """Which rejected payloads were looked for: only days that expired since, and later changes, can have some."""

    epoch: str
    revision: int
    before: date
    """No earlier day had payloads."""


def _find_old_payloads(data: DataDir, policy: RetentionPolicy) -> Iterator[ExpiredItem]:
    first_kept = policy.first_day_with_payloads
    if first_kept is None:
        return

    def find(index: PublicationIndex) -> tuple[IndexState, list[PublishedDay]]:
        state, mark = index.read_state(), parse_mark(index.read_marks(PAYLOADS).get(PAYLOADS), _PayloadMark)
        if mark is None or mark.epoch != state.epoch:
            mark = _PayloadMark(state.epoch, 0, date.min)
        days = [day for day in index.find_days() if mark.before <= day < first_kept]
        changed = [one for one in index.find(since=mark.revision) if one.partition.day < min(mark.before, first_kept)]
        return state, [*changed, *(one for day in days for one in index.find(day=day))]

    try:
        state, published = read_index(data, find)
    except (LakeError, StateError) as error:
        log.warning(UNINDEXED, error)
        state, published = (
            None,
            [PublishedDay(one.partition, bytes(one.signatures)) for one in _scan_before(data, first_kept)],
        )
    partitions = [
        one.partition
        for one in published
        if isinstance(one.partition, Partition) and one.has_file(REJECTED_ENROLLMENTS.name)
    ]
    before = first_kept
    sizes = map_parallel(data, partial(measure_payload_bytes, data), partitions)
    for partition, payload_bytes in zip(partitions, sizes, strict=True):
        if payload_bytes:
            path, before = data.file(REJECTED_ENROLLMENTS, partition), min(before, partition.day)
            yield ExpiredItem("rejected payloads", path, payload_bytes, partition, data.describe(path))
    if state is None:
        return
    new = msgspec.json.encode(_PayloadMark(state.epoch, state.revision, before)).decode()
    try:
        read_index(data, lambda index: index.write_marks({PAYLOADS: new}), is_compared=False)
    except (LakeError, StateError) as error:  # on a full disk, which housekeeping has to clear
        log.warning("The next housekeeping looks at the payloads of the same days again: %s", error)


def _find_pending(data: DataDir, *, is_compared: bool) -> list[AnyPartition]:
    """Return the partitions in which a run is at work, or left files or empty folders."""
    try:
        pending = read_index(data, lambda index: index.find_pending(), is_compared=is_compared)
    except (LakeError, StateError) as error:
        log.warning(UNINDEXED, error)
        return [files.partition for files in scan_lake(data).values() if files.has_hidden or files.has_leftover]
    return list(dict.fromkeys(one.partition for one in pending))


def _scan_before(data: DataDir, day: date) -> list[DayFiles]:
    return [files for files in scan_lake(data).values() if files.partition.day < day]


def _find_unpublished_files(data: DataDir, policy: RetentionPolicy) -> Iterator[ExpiredItem]:
    """Yield files that killed runs wrote and never published, replaced in publishing, or that their queries spilled."""
    names = (f".{DATA_FILE}.*", SPILLED_FILES)
    if data.store.is_local:
        pending = _find_pending(data, is_compared=False)
        folders = [data.file(table, one).parent for one in pending for table in list_tables(one)]
    else:  # the notes of the index are those of all machines, and this one has few files
        folders = [*data.lake.glob("*/snapshot_date=*"), *data.lake.glob("*/*/snapshot_date=*")]
    for path in sorted(path for folder in folders for name in names for path in folder.glob(name)):
        if policy.is_abandoned(read_changed_at(path)):
            partition = parse_folder(path.parent.relative_to(path.parents[2]))
            yield ExpiredItem("unpublished files", path, measure_size(path), partition)


def _find_pull_folders(data: DataDir, policy: RetentionPolicy) -> Iterator[ExpiredItem]:
    """Yield folders of pulls: scratch files of killed pulls, and locks of days that are over."""
    for partition, path in find_partition_paths(data.pulls):
        if policy.is_abandoned(read_changed_at(path)):
            yield ExpiredItem("folders of pulls", path, measure_size(path), partition)


def find_temporary_folders(data: DataDir, policy: RetentionPolicy) -> Iterator[ExpiredItem]:
    """Yield temporary folders of processes that were killed: of checks, metrics, estimates and builds of the warehouse."""
    for path in find_abandoned_scratch(policy.is_abandoned):
        yield ExpiredItem("temporary folders", path, measure_size(path))
    for path in sorted((data.state / "warehouse").glob("lms-*.duckdb.tmp")):
        if not path.with_suffix("").exists() and policy.is_abandoned(read_changed_at(path)):
            yield ExpiredItem("temporary folders", path, measure_size(path))


def find_empty_folders(
    data: DataDir, policy: RetentionPolicy, partitions: Iterable[Partition] | None = None
) -> Iterator[ExpiredItem]:
    """Yield folders without a file that failed pulls left in the lake, of these partitions or of all.

    The lock of a partition tells that no pull is at work. Metrics have none, so that theirs must be old.
    """
    if partitions is None:
        partitions = [one for one in _find_pending(data, is_compared=False) if isinstance(one, Partition)]
    for partition in partitions:
        for table in list_tables(partition):
            path = data.file(table, partition).parent
            if _is_empty_folder(path) and (table in PULLED_TABLES or policy.is_abandoned(read_changed_at(path))):
                yield ExpiredItem("empty folders", path, 0, partition)


def _is_empty_folder(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False


def _find_call_counters(data: DataDir, policy: RetentionPolicy) -> Iterator[ExpiredItem]:
    """Yield counters of accounts and tokens that are no longer in use, each with its lock and log."""
    counters: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(data.budgets.glob("*.sqlite*")):
        counters[path.name.partition(".")[0]].append(path)
    for files in counters.values():
        if all(policy.is_unused(read_changed_at(path)) for path in files):
            yield from (ExpiredItem("call counters", path, measure_size(path)) for path in files)


def remove(data: DataDir, items: Iterable[ExpiredItem], warn: Callable[[str], None] = log.warning) -> list[ExpiredItem]:
    """Remove the items and return them. Skip an item that can't be removed now, and pass the reason to `warn`."""
    removed = []
    for item in items:
        try:
            _remove_item(data, item)
        except (LockedError, LakeError, StorageError) as error:
            warn(f"{item.place} stays until the next housekeeping: {error}")
            continue
        log.info("Removed %s", item)
        removed.append(item)
    return removed


def remove_old_state(data: DataDir) -> None:
    """Remove old notes and calls of a state in a database: of files, `find_expired` finds them.

    Raises:
        StateError: the database can't be used.
    """
    data.storage.state.remove_old(datetime.now(UTC) - ABANDONED_AFTER)


def _remove_item(data: DataDir, item: ExpiredItem) -> None:
    if item.kind == "rejected payloads" and item.partition is not None:
        remove_payloads(data, item.partition)
    elif item.kind == "folders of pulls" and item.partition is not None:
        remove_folder(data, item.partition, keep_since=datetime.now(UTC) - ABANDONED_AFTER)
    elif item.kind in {"answers", "details"} and not item.path.is_dir():
        remove_pull_file(data, item.path)
    elif item.kind == "temporary folders" and item.path.parent != data.state / "warehouse":
        remove_scratch(item.path)
    elif item.kind == "empty folders" and item.partition is not None:
        with passing_lock(data, item.partition):
            _remove_empty_folders(item.path)
    elif item.kind == "unpublished files" and item.partition is not None:
        with partition_lock(data, item.partition), convert_disk_errors(item.path):
            restore_interrupted(data, PULLED_TABLES, item.partition)
            item.path.unlink(missing_ok=True)
            _remove_empty_folders(item.path.parent)
        remove_folder(data, item.partition, keep_since=datetime.now(UTC) - ABANDONED_AFTER)
    else:
        with convert_disk_errors(item.path):
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        if item.kind == "unpublished files":  # of a table over all accounts, which has no lock
            _remove_empty_folders(item.path.parent)


def _remove_empty_folders(folder: Path) -> None:
    """Remove the folder of a partition, and that of its account if it was the last one; not if it holds a file."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
