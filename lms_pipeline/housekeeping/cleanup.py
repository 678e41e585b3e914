"""What is past its time in a data directory.

What belongs here: looking at the disk, and nothing that changes it. How long things are kept is `rules.py`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lms_pipeline.accounts.options import read_options
from lms_pipeline.accounts.registry import GONE, INACTIVE, Registry
from lms_pipeline.housekeeping.due import Due
from lms_pipeline.housekeeping.payloads import payload_bytes
from lms_pipeline.housekeeping.policy import Rules
from lms_pipeline.housekeeping.standing import changed_at, size
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition, partition_named
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS

log = logging.getLogger(__name__)


def rules_of(settings: Settings) -> Rules:
    """What is set, for the accounts that are registered.

    Raises:
        SettingsError: the options of accounts can't be read: nothing is removed by guess.
    """
    accounts = Registry(DataDir(settings.data_dir).registry).accounts()
    options = read_options(settings.accounts_file)
    return Rules(
        today=settings.calendar.latest_ended(settings.now()),
        answer_days={account_id: of.answer_days for account_id, of in options.items()},
        left={account.id for account in accounts if account.status in {INACTIVE, GONE}},
        rejected_days=settings.rejected_days,
    )


def planned(data: DataDir, rules: Rules) -> list[Due]:
    """All that is past its time, of every account, whether it is still pulled or not."""
    return [
        *old_answers(data, rules),
        *_old_payloads(data, rules),
        *_unpublished(data, rules),
        *_pulls(data, rules),
        *_counters(data, rules),
    ]


def old_answers(data: DataDir, rules: Rules, account_id: str = "*") -> Iterator[Due]:
    """Answers and details of days that can't be flattened again any more; of one account, or of all."""
    for partition, path in _by_day(data.all_answers, account_id):
        if not rules.keeps_answers(partition.account_id or "", partition.day):
            yield Due("answers", path, size(path))
    details = list(_by_day(data.all_details, account_id))
    latest = {partition.account_id: partition.day for partition, path in details if path.suffix == ".parquet"}
    for partition, path in details:
        is_latest = partition.day == latest.get(partition.account_id)
        if not rules.keeps_details(partition.account_id or "", partition.day, is_latest=is_latest):
            yield Due("details", path, size(path))


def _old_payloads(data: DataDir, rules: Rules) -> Iterator[Due]:
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
            yield Due("rejected payloads", path, payloads, partition)


def _unpublished(data: DataDir, rules: Rules) -> Iterator[Due]:
    """What killed runs wrote and never published."""
    for path in sorted(data.lake.rglob(f".{DATA_FILE}.*")):
        if rules.is_over(changed_at(path)):
            yield Due("unpublished files", path, size(path))


def _pulls(data: DataDir, rules: Rules) -> Iterator[Due]:
    """What waited in pulls that were killed, and locks that nobody will ask for again."""
    for partition, path in _by_day(data.all_pulls):
        if rules.is_over(changed_at(path)):
            yield Due("folders of pulls", path, size(path), partition)


def _counters(data: DataDir, rules: Rules) -> Iterator[Due]:
    """Counters of accounts and tokens that are not in use any more, each with its lock and log."""
    counters: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(data.budgets.glob("*.sqlite*")):
        counters[path.name.partition(".")[0]].append(path)
    for files in counters.values():
        if all(rules.is_unused(changed_at(path)) for path in files):
            yield from (Due("call counters", path, size(path)) for path in files)


def _by_day(root: Path, account_id: str = "*") -> Iterator[tuple[Partition, Path]]:
    """Files and folders by account and day, in this order; what isn't named like one is nobody's."""
    for path in sorted(root.glob(f"account_id={account_id}/snapshot_date=*")):
        partition = partition_named(path.relative_to(root).with_name(path.name.partition(".")[0]))
        if partition is not None:
            yield partition, path
