"""Which days of the portfolio are up to date: compares what each was computed from with the files that are there now.

Belongs here: finding the days to compute again, and removing those that no account has any more. Not here: their sums
(`portfolio.py`), and when they are computed (`defs/`).
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import msgspec

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.index import PublicationIndex, PublishedDay, parse_mark
from lms_pipeline.lake.index_sync import noting_changes, read_index
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.stored_footers import read_stored_metadata
from lms_pipeline.metrics.portfolio import ORIGIN, find_missing
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION

log = logging.getLogger(__name__)


MARK = "portfolio"
"""The mark in the index with what the portfolio was compared with."""


@dataclass(frozen=True, slots=True)
class PortfolioChanges:
    """What has to be done so that the portfolio has each day of the accounts, as it is now."""

    outdated: Mapping[date, str]
    """The days to compute, the oldest first, each with the origin to store."""
    orphaned: Sequence[date]
    """The days that no account has any more."""
    mark: str
    """What `remember_changes` stores."""


class _Mark(msgspec.Struct, frozen=True):
    """What the portfolio was compared with: later changes alone can make a day outdated."""

    epoch: str
    revision: int
    accounts: str
    """A hash of the accounts of the registry and their days."""


def find_portfolio_changes(data: DataDir, accounts: Sequence[RegisteredAccount]) -> PortfolioChanges:
    """Compare the portfolio with the metrics of the accounts, on the days that changed since it was last up to date.

    A day is outdated if an account's file of that day was published, published again or removed since it was computed, or if
    other accounts of the registry lack the day. No file of an account is opened for it.

    Raises:
        LakeError, StorageError: the index or the store can't be used.
    """

    def find(index: PublicationIndex) -> tuple[_Mark, dict[date, Sequence[PublishedDay]]]:
        state, known = index.read_state(), parse_mark(index.read_marks(MARK).get(MARK), _Mark)
        mark = _Mark(state.epoch, state.revision, _hash_accounts(accounts))
        is_known = known is not None and (known.epoch, known.accounts) == (mark.epoch, mark.accounts)
        days = index.find_days(known.revision if known is not None and is_known else 0)
        return mark, {day: index.find(day=day) for day in days}

    mark, changed = read_index(data, find)
    origins: dict[date, str] = {}
    orphaned: list[date] = []
    for day, published in changed.items():
        if signatures := _list_signatures(published):
            origins[day] = _hash_origin(accounts, day, signatures)
        elif any(one.has_file(PORTFOLIO_COMPLETION.name) for one in published):
            orphaned.append(day)
    outdated = {day: origin for day, origin in origins.items() if _read_origin(data, day) != origin}
    return PortfolioChanges(outdated, orphaned, msgspec.json.encode(mark).decode())


def _list_signatures(published: Iterable[PublishedDay]) -> list[tuple[str, bytes]]:
    """Return the signature of each account's file."""
    name = ACCOUNT_COMPLETION.name
    return [
        (one.partition.account_id, one.get_signature(name))
        for one in published
        if isinstance(one.partition, Partition) and one.has_file(name)
    ]


def remember_changes(data: DataDir, changes: PortfolioChanges) -> None:
    """Note that all changes are in the portfolio: the next comparison begins after them.

    Raises:
        LakeError, StateError: the index can't be written.
    """
    read_index(data, lambda index: index.write_marks({MARK: changes.mark}), is_compared=False)


def _hash_accounts(accounts: Sequence[RegisteredAccount]) -> str:
    days = sorted((account.id, account.first_day, account.last_day or date.max) for account in accounts)
    return hashlib.sha256(repr(days).encode()).hexdigest()


def describe_origin(data: DataDir, accounts: Sequence[RegisteredAccount], day: date) -> str:
    """Return the same of one day."""
    published = read_index(data, lambda index: index.find(day=day))
    return _hash_origin(accounts, day, _list_signatures(published))


def remove_day(data: DataDir, day: date) -> None:
    """Remove the portfolio of a day that no account has any more, or none that can be read.

    Raises:
        LakeError, StorageError: it can't be removed.
    """
    path = data.file(PORTFOLIO_COMPLETION, DayPartition(day))
    with noting_changes(data, DayPartition(day), f"removal {uuid.uuid4().hex}"):
        data.store.remove(data.get_key(path))
        with suppress(OSError):  # it holds other files
            path.parent.rmdir()


def _hash_origin(accounts: Sequence[RegisteredAccount], day: date, signatures: Sequence[tuple[str, bytes]]) -> str:
    present = {account_id for account_id, _ in signatures}
    origin = repr((sorted(signatures), sorted(find_missing(accounts, day, present))))
    return hashlib.sha256(origin.encode()).hexdigest()


def _read_origin(data: DataDir, day: date) -> str | None:
    """Return what the stored portfolio of a day was computed from; None if there is none, or it is damaged.

    Raises:
        StoreError: the store can't be used.
    """
    key = data.get_key(data.file(PORTFOLIO_COMPLETION, DayPartition(day)))
    try:
        return (read_stored_metadata(data.store, key) or {}).get(ORIGIN)
    except LakeError as error:
        log.warning("%s It is computed again.", error)
        return None
