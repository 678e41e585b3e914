"""Checks of all accounts together: what no snapshot shows of itself, since it isn't there.

What belongs here: which accounts and days are missing. One live account hides the dead ones from whoever looks at the newest
snapshot alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from lms_pipeline.accounts.registry import ACTIVE, GONE, INACTIVE, RegisteredAccount, Registry
from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Check, Finding, counted
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

MAX_ADVISED_KEYS = 100_000
"""Keys of an asset that Dagster advises at most: its pages and its daemon read all of them."""
WARN_SHARE = 0.8
"""The part of them from which somebody should do something."""


@dataclass(frozen=True, slots=True)
class PartitionKeyCount:
    """Accounts times days. Accounts that are gone keep their keys."""

    accounts: int
    days: int

    @property
    def keys(self) -> int:
        """The keys of every table of accounts."""
        return self.accounts * self.days

    @property
    def is_near(self) -> bool:
        """Whether somebody should do something."""
        return self.keys > WARN_SHARE * MAX_ADVISED_KEYS

    def __str__(self) -> str:
        """For messages, with what to do."""
        message = f"{self.accounts:,} accounts x {self.days:,} days are {self.keys:,} partition keys; Dagster advises {MAX_ADVISED_KEYS:,} at most"
        if not self.is_near:
            return f"{message}."
        return (
            f"{message}: set LMS_START_DATE later, or give part of the accounts an LMS_DATA_DIR of their own."
        )


def count_partition_keys(registry: Registry, settings: Settings) -> PartitionKeyCount:
    """The count of this installation today."""
    days = (settings.calendar.find_latest_ended(settings.now()) - settings.start_date).days + 1
    return PartitionKeyCount(len(registry.read_accounts()), max(0, days))


GAP_ALERT_DAYS = 7
"""Days. What is missing longer can't be had any more; it stays missing, and is counted, but alarms nobody."""


@dataclass(frozen=True)
class Fleet:
    """All accounts we know, and their snapshots."""

    accounts: Sequence[RegisteredAccount]
    days: Mapping[str, AbstractSet[date]]
    """The days that have a snapshot, by account."""
    failed: AbstractSet[Partition]
    """Those for which a run was asked that failed."""
    partitions: PartitionKeyCount
    start_date: date
    closed: date
    """The last day that should be there: nobody can pull it any more."""

    def missing(self, account: RegisteredAccount) -> list[date]:
        """The days without a snapshot since the account's first, in order."""
        first = max(account.first_day, self.start_date)
        last = min(account.last_day or self.closed, self.closed)
        expected = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return [day for day in expected if day not in self.days.get(account.id, ())]


def load_fleet(data: DataDir, settings: Settings, failed: AbstractSet[Partition]) -> Fleet:
    """The fleet as it stands in the registry and in the lake."""
    days: dict[str, set[date]] = {}
    for partition in data.partitions(UNIFIED_ENROLLMENTS):
        days.setdefault(partition.account_id, set()).add(partition.day)
    registry = Registry(data.registry)
    return Fleet(
        accounts=registry.read_accounts(),
        days=days,
        failed=failed,
        partitions=count_partition_keys(registry, settings),
        start_date=settings.start_date,
        closed=settings.calendar.find_latest_closed(settings.now()),
    )


def accounts_are_fresh(fleet: Fleet) -> Finding:
    """Every active account has a snapshot of the last day that is closed."""
    active = [account for account in fleet.accounts if account.is_active]
    stale = [account for account in active if fleet.closed in fleet.missing(account)]
    rows = sorted((_last_known(fleet, account) for account in stale), key=itemgetter("last_snapshot"))
    figures = {"active": len(active), "stale": len(stale)}
    message = f"{len(stale)} of {len(active)} active accounts have no snapshot of {fleet.closed}"
    return Finding(
        not stale, f"{message}{': see their last runs' if stale else ''}.", figures, rows[:MAX_EXAMPLE_ROWS]
    )


def accounts_are_connected(fleet: Fleet) -> Finding:
    """Every account that was not removed is active; others can't be asked until somebody connects them again."""
    asked = [account for account in fleet.accounts if account.status not in {INACTIVE, GONE}]
    lost = [account for account in asked if account.status != ACTIVE]
    rows = [{**_last_known(fleet, account), "status": account.status} for account in lost]
    message = f"{len(lost)} of {len(asked)} accounts can't be asked"
    more = ": their owners have to connect them again in Truto" if lost else ""
    figures = {"accounts": len(asked), "not_connected": len(lost)}
    return Finding(not lost, f"{message}{more}.", figures, rows[:MAX_EXAMPLE_ROWS])


def no_day_is_missing(fleet: Fleet) -> Finding:
    """No day of the last seven is missing of an active account; of others, and longer ago, they are counted."""
    rows = list(_gaps(fleet))
    missing, failed = counted(rows, "missing"), counted(rows, "failed")
    since = str(fleet.closed - timedelta(days=GAP_ALERT_DAYS))
    recent = [row for row in rows if row["status"] == ACTIVE and row["last"] > since]
    published = sum(len(days) for days in fleet.days.values())
    figures = {
        "published": published,
        "missing": missing,
        "failed": failed,
        "never_asked": missing - failed,
        "accounts_with_gaps": len(rows),
    }
    message = (
        f"{published:,} snapshots are there, and {missing:,} are missing since their account's first day: {failed:,} failed, "
        f"{missing - failed:,} were never asked for; {len(recent)} active accounts miss one of the last {GAP_ALERT_DAYS} days."
    )
    return Finding(not recent, message, figures, (recent or rows)[:MAX_EXAMPLE_ROWS])


def partitions_are_few(fleet: Fleet) -> Finding:
    """Accounts times days are no more than four fifths of the partition keys that Dagster advises."""
    count = fleet.partitions
    return Finding(not count.is_near, str(count), {"partition_keys": count.keys, "advised": MAX_ADVISED_KEYS})


def _last_known(fleet: Fleet, account: RegisteredAccount) -> dict[str, Any]:
    days = fleet.days.get(account.id)
    return {
        "account_id": account.id,
        "first_day": str(account.first_day),
        "last_snapshot": str(max(days)) if days else "",
        "days_missing": len(fleet.missing(account)),
    }


def _gaps(fleet: Fleet) -> Iterator[dict[str, Any]]:
    """By account with missing days: how many, from when to when, and how many runs for them failed; the latest first."""
    gaps = ((account, days) for account in fleet.accounts if (days := fleet.missing(account)))
    for account, days in sorted(gaps, key=lambda gap: gap[1][-1], reverse=True):
        failed = sum(Partition(account.id, day) in fleet.failed for day in days)
        yield {
            "account_id": account.id,
            "status": account.status,
            "missing": len(days),
            "failed": failed,
            "first": str(days[0]),
            "last": str(days[-1]),
        }


FLEET_CHECKS: tuple[Check[Fleet], ...] = (
    Check(accounts_are_fresh),
    Check(no_day_is_missing),
    Check(accounts_are_connected, is_grave=False),
    Check(partitions_are_few, is_grave=False),
)
