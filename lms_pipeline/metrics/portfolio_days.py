"""Which days of the portfolio are up to date: compares what each was computed from with the files that are there now.

Belongs here: finding the days to compute again, and removing those that no account has any more. Not here: their sums
(`portfolio.py`), and when they are computed (`defs/`).
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.lake.disk import LakeError, convert_disk_errors
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.warehouse_days import scan_lake, sign_file
from lms_pipeline.metrics.portfolio import ORIGIN, find_missing
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PortfolioChanges:
    """What has to be done so that the portfolio has each day of the accounts, as it is now."""

    outdated: Mapping[date, str]
    """The days to compute, the oldest first, each with the origin to store."""
    orphaned: Sequence[date]
    """The days that no account has any more."""


def find_portfolio_changes(data: DataDir, accounts: Sequence[RegisteredAccount]) -> PortfolioChanges:
    """Compare the portfolio with the metrics of the accounts.

    A day is outdated if an account's file of that day was published, published again or removed since it was computed, or if
    other accounts of the registry lack the day. No file of an account is opened for it.
    """
    origins = describe_origins(data, accounts)
    outdated = {day: origin for day, origin in origins.items() if _read_origin(data, day) != origin}
    stored = [partition.day for partition in data.find_any_partitions(PORTFOLIO_COMPLETION)]
    return PortfolioChanges(outdated, [day for day in stored if day not in origins])


def describe_origins(data: DataDir, accounts: Sequence[RegisteredAccount]) -> dict[date, str]:
    """Return what the portfolio of each day would be computed from now, as a hash; the oldest day first.

    Read it before the files: one that is replaced meanwhile then makes the day outdated.
    """
    signatures: defaultdict[date, list[tuple[str, bytes]]] = defaultdict(list)
    for files in scan_lake(data, [ACCOUNT_COMPLETION]).values():
        partition = files.partition
        if isinstance(partition, Partition) and files.has_file(ACCOUNT_COMPLETION.name):
            signatures[partition.day].append((partition.account_id, files.get_signature(ACCOUNT_COMPLETION.name)))
    return {day: _hash_origin(accounts, day, signatures[day]) for day in sorted(signatures)}


def describe_origin(data: DataDir, accounts: Sequence[RegisteredAccount], day: date) -> str:
    """Return the same of one day. No file of another day is looked at."""
    signatures = []
    for account_id in data.list_account_ids():
        with suppress(FileNotFoundError, NotADirectoryError):  # the account lacks the day
            signatures.append((account_id, sign_file(data.file(ACCOUNT_COMPLETION, Partition(account_id, day)))))
    return _hash_origin(accounts, day, signatures)


def remove_day(data: DataDir, day: date) -> None:
    """Remove the portfolio of a day that no account has any more, or none that can be read.

    Raises:
        LakeError: it can't be removed.
    """
    path = data.file(PORTFOLIO_COMPLETION, DayPartition(day))
    with convert_disk_errors(path):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it holds other files
        path.parent.rmdir()


def _hash_origin(accounts: Sequence[RegisteredAccount], day: date, signatures: Sequence[tuple[str, bytes]]) -> str:
    present = {account_id for account_id, _ in signatures}
    origin = repr((sorted(signatures), sorted(find_missing(accounts, day, present))))
    return hashlib.sha256(origin.encode()).hexdigest()


def _read_origin(data: DataDir, day: date) -> str | None:
    """Return what the stored portfolio of a day was computed from; None if there is none, or it can't be read."""
    path = data.file(PORTFOLIO_COMPLETION, DayPartition(day))
    try:
        return read_metadata(path).get(ORIGIN) if path.exists() else None
    except LakeError as error:
        log.warning("%s It is computed again.", error)
        return None
