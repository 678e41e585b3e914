"""Runs of several accounts and days: which partitions a range of Dagster's keys has, and the fewest ranges of some partitions.

Belongs here: ranges as plain data. Not here: one account and day (`partitions.py`), what such a run does (`batch.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

import dagster as dg

from lms_pipeline.defs.partitions import (
    ACCOUNTS,
    PARTITION_TAG,
    RANGE_TAGS,
    BadPartitionError,
    build_partition_key,
    check_listed,
    parse_partition_tags,
    read_partition,
)
from lms_pipeline.lake.paths import Partition

_ONE_DAY = timedelta(days=1)


def is_range(tags: Mapping[str, str]) -> bool:
    """Return whether a run is of several partitions."""
    first, last = (tags.get(tag) for tag in RANGE_TAGS)
    has_dimensions = any(tag.startswith(f"{PARTITION_TAG}/") for tag in tags)
    return first is not None and last is not None and first != last and not has_dimensions


def build_range_tags(first: Partition, last: Partition) -> dict[str, str]:
    """Return Dagster's tags of a run from one account to another. Nothing has to be looked up for them."""
    return dict(zip(RANGE_TAGS, (str(build_partition_key(one)) for one in (first, last)), strict=True))


def read_partitions(context: dg.AssetExecutionContext) -> list[Partition]:
    """Return the accounts and days of the run: one, or those of its range in the order of the accounts' partitions.

    Raises:
        BadIdError: the account is no id that may become a path.
        BadPartitionError: the run has no partition, its range is none of accounts and days, or a day is not listed any more.
    """
    tags = context.run.tags
    if not is_range(tags):
        return [read_partition(context)]
    partitions = AccountOrder.load(context.instance).expand(tags)
    check_listed(context, min(one.day for one in partitions))
    return partitions


class AccountOrder:
    """The accounts in the order of their partitions, by which Dagster counts a range."""

    def __init__(self, account_ids: Iterable[str]) -> None:
        self._ids = list(account_ids)
        self._positions = {account_id: position for position, account_id in enumerate(self._ids)}

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> AccountOrder:
        """Load the order of an instance."""
        return cls(instance.get_dynamic_partitions(ACCOUNTS.name or ""))

    @property
    def account_ids(self) -> list[str]:
        """The accounts' keys. A person can add any key in the UI."""
        return self._ids

    def list_partitions(self, tags: Mapping[str, str]) -> list[Partition]:
        """Return the accounts and days in the tags of a run; none if they are no accounts and days of ours."""
        if not is_range(tags):
            partition = parse_partition_tags(tags)
            return [] if partition is None else [partition]
        try:
            return self.expand(tags)
        except BadPartitionError:
            return []

    def expand(self, tags: Mapping[str, str]) -> list[Partition]:
        """Return the accounts and days of a range: each account between its ends, on each day between them.

        Keys that are no account ids are left out.

        Raises:
            BadPartitionError: an end is no account and day, or the range has none.
        """
        first, last = (self._find_end(tags[tag]) for tag in RANGE_TAGS)
        start, end = (self._positions[one.account_id] for one in (first, last))
        if start > end or first.day > last.day:
            raise BadPartitionError(f"The run's range of partitions ends before it begins: from {first} to {last}.")
        days = [first.day + _ONE_DAY * number for number in range((last.day - first.day).days + 1)]
        return [
            partition
            for account_id in self._ids[start : end + 1]
            for day in days
            if (partition := _build_partition(account_id, day.isoformat())) is not None
        ]

    def _find_end(self, key: str) -> Partition:
        partition = parse_partition_tags({PARTITION_TAG: key})
        if partition is None or partition.account_id not in self._positions:
            raise BadPartitionError(
                f"{key[:80]!r} can't be an end of the run's range of partitions: it must be an account and a day."
            )
        return partition

    def group_neighbors(self, reasons: Mapping[Partition, str], max_accounts: int) -> Iterator[list[Partition]]:
        """Split partitions into groups, each of which is a whole range: neighboring accounts of one day, for one reason.

        `reasons` has a reason for each partition; its accounts have keys. A range that also covered other accounts would
        show them as failed if it fails.
        """
        group: list[Partition] = []
        for one in sorted(reasons, key=lambda one: (one.day, self._positions[one.account_id])):
            if group and not (len(group) < max_accounts and self._is_next(group[-1], one, reasons)):
                yield group
                group = []
            group.append(one)
        if group:
            yield group

    def _is_next(self, before: Partition, one: Partition, reasons: Mapping[Partition, str]) -> bool:
        is_neighbor = self._positions[one.account_id] == self._positions[before.account_id] + 1
        return is_neighbor and one.day == before.day and reasons[one] == reasons[before]


def _build_partition(account_id: str, day: str) -> Partition | None:
    return parse_partition_tags({PARTITION_TAG: f"{account_id}|{day}"})
