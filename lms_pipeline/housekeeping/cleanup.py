"""What is past its time in a data directory.

What belongs here: looking at the disk, and nothing that changes it. How long things are kept is `rules.py`.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.accounts.options import read_options
from lms_pipeline.accounts.registry import GONE, INACTIVE, Registry
from lms_pipeline.housekeeping.policy import ExpiredItem, RetentionPolicy
from lms_pipeline.lake.disk import LakeError, disk_errors
from lms_pipeline.lake.files import PREFIX, check_version, conform, read_errors, read_metadata
from lms_pipeline.lake.lock import LockedError, partition_lock, remove_folder
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition, parse_folder
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS
from lms_pipeline.transform.columns import repeat_value


def changed_at(path: Path) -> datetime:
    """When it was last changed; now, where it has just gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def size(path: Path) -> int:
    """In bytes; of a folder, of all that is in it."""
    try:
        if path.is_dir():
            return sum(size(inside) for inside in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return 0


REMOVED_AT = "payloads_removed_at"
"""What the file tells of it."""
_OF_THE_WRITER = {"schema_version", "digest"}


def payload_bytes(path: Path) -> int:
    """What the payloads in a file take; 0 where there are none, or none any more.

    Raises:
        LakeError: it is no Parquet file.
    """
    with read_errors(path):
        found = pq.read_metadata(path)
    if f"{PREFIX}{REMOVED_AT}".encode() in (found.metadata or {}):
        return 0
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(one.total_compressed_size for one in columns if one.path_in_schema == "payload")


def remove_payloads(data: DataDir, partition: Partition, now: datetime) -> None:
    """Publish the file anew with empty payloads; it goes on to tell which run it is of.

    Raises:
        LockedError: somebody is at the account and day.
        LakeError: it can't be read or written, or was written by a newer version.
    """
    path = data.file(REJECTED_ENROLLMENTS, partition)
    with (
        partition_lock(data, partition),
        Publication(data, partition, f"housekeeping-{uuid.uuid4()}") as publication,
    ):
        told = read_metadata(path)
        check_version(path, told)
        with (
            publication.open(REJECTED_ENROLLMENTS) as file,
            read_errors(path),
            pq.ParquetFile(path) as stored,
        ):
            for batch in stored.iter_batches():
                file.write(_without_payloads(conform(batch, REJECTED_ENROLLMENTS)))
            kept = {name: value for name, value in told.items() if name not in _OF_THE_WRITER}
            file.close({**kept, REMOVED_AT: now.isoformat()})
            publication.publish([(file, REJECTED_ENROLLMENTS.key)])


def _without_payloads(batch: pa.RecordBatch) -> pa.RecordBatch:
    place = batch.schema.get_field_index("payload")
    return batch.set_column(place, batch.schema.field(place), repeat_value("", "string", batch.num_rows))


log = logging.getLogger(__name__)


def load_policy(settings: Settings) -> RetentionPolicy:
    """What is set, for the accounts that are registered.

    Raises:
        SettingsError: the options of accounts can't be read: nothing is removed by guess.
    """
    accounts = Registry(DataDir(settings.data_dir).registry).accounts()
    options = read_options(settings.accounts_file)
    return RetentionPolicy(
        today=settings.calendar.latest_ended(settings.now()),
        answer_days={account_id: of.answer_days for account_id, of in options.items()},
        left={account.id for account in accounts if account.status in {INACTIVE, GONE}},
        rejected_days=settings.rejected_days,
    )


def planned(data: DataDir, rules: RetentionPolicy) -> list[ExpiredItem]:
    """All that is past its time, of every account, whether it is still pulled or not."""
    return [
        *old_answers(data, rules),
        *_old_payloads(data, rules),
        *_unpublished(data, rules),
        *_pulls(data, rules),
        *_counters(data, rules),
    ]


def old_answers(data: DataDir, rules: RetentionPolicy, account_id: str = "*") -> Iterator[ExpiredItem]:
    """Answers and details of days that can't be flattened again any more; of one account, or of all."""
    for partition, path in _by_day(data.all_answers, account_id):
        if not rules.keeps_answers(partition.account_id, partition.day):
            yield ExpiredItem("answers", path, size(path))
    details = list(_by_day(data.all_details, account_id))
    latest = {partition.account_id: partition.day for partition, path in details if path.suffix == ".parquet"}
    for partition, path in details:
        is_latest = partition.day == latest.get(partition.account_id)
        if not rules.keeps_details(partition.account_id, partition.day, is_latest=is_latest):
            yield ExpiredItem("details", path, size(path))


def _old_payloads(data: DataDir, rules: RetentionPolicy) -> Iterator[ExpiredItem]:
    for partition in data.partitions(REJECTED_ENROLLMENTS):
        if rules.keeps_payloads(partition.day):
            continue
        path = data.file(REJECTED_ENROLLMENTS, partition)
        try:
            payloads = payload_bytes(path)
        except LakeError as error:
            log.warning("%s", error)
            continue
        if payloads:
            yield ExpiredItem("rejected payloads", path, payloads, partition)


def _unpublished(data: DataDir, rules: RetentionPolicy) -> Iterator[ExpiredItem]:
    """What killed runs wrote and never published."""
    for path in sorted(data.lake.rglob(f".{DATA_FILE}.*")):
        if rules.is_over(changed_at(path)):
            yield ExpiredItem("unpublished files", path, size(path))


def _pulls(data: DataDir, rules: RetentionPolicy) -> Iterator[ExpiredItem]:
    """What waited in pulls that were killed, and locks that nobody will ask for again."""
    for partition, path in _by_day(data.all_pulls):
        if rules.is_over(changed_at(path)):
            yield ExpiredItem("folders of pulls", path, size(path), partition)


def _counters(data: DataDir, rules: RetentionPolicy) -> Iterator[ExpiredItem]:
    """Counters of accounts and tokens that are not in use any more, each with its lock and log."""
    counters: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(data.budgets.glob("*.sqlite*")):
        counters[path.name.partition(".")[0]].append(path)
    for files in counters.values():
        if all(rules.is_unused(changed_at(path)) for path in files):
            yield from (ExpiredItem("call counters", path, size(path)) for path in files)


def _by_day(root: Path, account_id: str = "*") -> Iterator[tuple[Partition, Path]]:
    """Files and folders by account and day, in this order; what isn't named like one is nobody's."""
    for path in sorted(root.glob(f"account_id={account_id}/snapshot_date=*")):
        partition = parse_folder(path.relative_to(root).with_name(path.name.partition(".")[0]))
        if partition is not None:
            yield partition, path


def remove(
    data: DataDir, due: Iterable[ExpiredItem], warn: Callable[[str], None] = log.warning
) -> list[ExpiredItem]:
    """Remove one after the other; what can't be removed now is left for the next time, and `warn` is told why.

    Returns:
        What was removed.
    """
    removed = []
    for one in due:
        try:
            _remove(data, one)
        except (LockedError, LakeError) as error:
            warn(f"{one.path} is left for the next time: {error}")
            continue
        log.info("Removed %s", one)
        removed.append(one)
    return removed


def _remove(data: DataDir, due: ExpiredItem) -> None:
    if due.kind == "rejected payloads" and due.partition is not None:
        remove_payloads(data, due.partition, datetime.now(UTC))
    elif due.kind == "folders of pulls" and due.partition is not None:
        remove_folder(data, due.partition)
    else:
        with disk_errors(due.path):
            if due.path.is_dir():
                shutil.rmtree(due.path)
            else:
                due.path.unlink(missing_ok=True)
