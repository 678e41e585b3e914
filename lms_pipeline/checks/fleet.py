"""Checks of all accounts together: missing accounts and days, refused lists, and the number of partition keys.

Belongs here: what no single snapshot can show. One working account hides the failing ones in the newest snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from operator import itemgetter
from typing import Any

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.accounts.registry import ACTIVE, GONE, INACTIVE, RegisteredAccount, Registry
from lms_pipeline.accounts.rules import load_rules
from lms_pipeline.accounts.sync import Refusal, read_refusal
from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Check, Finding, sum_column
from lms_pipeline.checks.rules import describe_unknown_accounts, describe_unmatched, find_unmatched_in_lake
from lms_pipeline.errors import SettingsError, choose_form, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.stopped import StoppedPull, find_stopped
from lms_pipeline.lake.waiting import WaitingPull, find_waiting, format_time, utc_now
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

MAX_ADVISED_KEYS = 100_000
"""Partition keys of an asset that Dagster advises at most: its pages and its daemon read all of them."""
WARN_SHARE = 0.8
"""The share of `MAX_ADVISED_KEYS` above which the check warns."""
GAP_ALERT_DAYS = 7
"""Days. An older gap is counted but fails no check; otherwise the check would fail forever."""
NOBODY_ACTIVE = (
    "No account is active, so nothing is pulled: run `lms-pipeline accounts sync`, or connect them again in Truto."
)
"""A check of the active accounts fails without any: none of none would pass it."""


@dataclass(frozen=True, slots=True)
class PartitionKeyCount:
    """Accounts times days. Accounts that are gone keep their keys."""

    accounts: int
    days: int

    @property
    def keys(self) -> int:
        """The partition keys of each table."""
        return self.accounts * self.days

    @property
    def is_near_limit(self) -> bool:
        """Whether the number of keys should be reduced."""
        return self.keys > WARN_SHARE * MAX_ADVISED_KEYS

    def __str__(self) -> str:
        """Format the count, with what to do if it is near the limit."""
        count = (
            f"{format_count(self.accounts, 'account')} x {format_count(self.days, 'day')} "
            f"{choose_form(self.keys, 'is', 'are')} {format_count(self.keys, 'partition key')}"
        )
        message = f"{count}; Dagster advises {MAX_ADVISED_KEYS:,} at most"
        if not self.is_near_limit:
            return f"{message}."
        return f"{message}: list fewer days with LMS_PARTITION_DAYS, or give part of the accounts an LMS_DATA_DIR of their own."


def count_partition_keys(registry: Registry, settings: Settings) -> PartitionKeyCount:
    """Count the partition keys of this installation today."""
    days = (settings.calendar.find_latest_ended(settings.now()) - find_first_day(settings)).days + 1
    return PartitionKeyCount(len(registry.read_accounts()), max(0, days))


@dataclass(frozen=True)
class Fleet:
    """All accounts of the registry, and their snapshots."""

    accounts: Sequence[RegisteredAccount]
    days: Mapping[str, AbstractSet[date]]
    """The days with a snapshot, by account."""
    failed: AbstractSet[Partition]
    """The partitions whose run failed."""
    partitions: PartitionKeyCount
    start_date: date
    """Days before it are not expected."""
    closed: date
    """The latest day that is closed: its snapshot should exist, since it can't be pulled any more."""
    waiting: Sequence[WaitingPull] = ()
    """The pulls that continue once their LMS allows calls again."""
    stopped: Sequence[StoppedPull] = ()
    """The pulls that stopped at a bound of their responses or for lack of space."""
    refusal: Refusal | None = None
    """Why the latest list of accounts was refused."""
    left_out: Sequence[str] = ()
    """Why files are left out of the warehouse, a sentence for each."""
    rules: int = 0
    """The number of rules in `LMS_RULES_FILE`."""
    faulty_rules: Sequence[str] = ()
    """What is wrong with rules, whatever the account: a phrase for each. Or why the file can't be used."""

    @property
    def active(self) -> list[RegisteredAccount]:
        """The accounts whose days are pulled."""
        return [account for account in self.accounts if account.is_active]

    def find_missing_days(self, account: RegisteredAccount) -> list[date]:
        """Return the closed days without a snapshot since the account's first day, in order."""
        first = max(account.first_day, self.start_date)
        last = min(account.last_day or self.closed, self.closed)
        expected = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return [day for day in expected if day not in self.days.get(account.id, ())]


def load_fleet(data: DataDir, settings: Settings, failed: AbstractSet[Partition]) -> Fleet:
    """Load the fleet from the registry and the lake."""
    from lms_pipeline.lake.index_sync import read_index
    from lms_pipeline.lake.warehouse import read_left_out  # Arrow takes as long to import as the rest

    found = read_index(data, lambda index: index.find_account_days(UNIFIED_ENROLLMENTS.name))
    days = {account_id: set(published) for account_id, published in found.items()}
    registry = Registry(data)
    accounts = registry.read_accounts()
    rules, faulty_rules = _examine_rules(data, settings, accounts, days)
    return Fleet(
        accounts=accounts,
        days=days,
        failed=failed,
        partitions=count_partition_keys(registry, settings),
        start_date=settings.start_date or date.min,
        closed=settings.calendar.find_latest_closed(settings.now()),
        waiting=[pull for pull in find_waiting(data) if pull.is_expected(utc_now())],
        stopped=find_stopped(data),
        refusal=read_refusal(data),
        left_out=read_left_out(data),
        rules=rules,
        faulty_rules=faulty_rules,
    )


def _examine_rules(
    data: DataDir, settings: Settings, accounts: Sequence[RegisteredAccount], days: Mapping[str, AbstractSet[date]]
) -> tuple[int, list[str]]:
    """Return the number of rules, and what is wrong with them in the latest snapshots of the active accounts."""
    try:
        rules = load_rules(settings.rules_file)
    except SettingsError as error:
        return 0, [str(error)]
    active = {account.id for account in accounts if account.is_active}
    latest = [Partition(account_id, max(found)) for account_id, found in days.items() if account_id in active]
    return len(rules), [
        *describe_unknown_accounts(rules, {account.id for account in accounts}),
        *describe_unmatched(rules, find_unmatched_in_lake(rules, data, latest)),
    ]


def accounts_are_fresh(fleet: Fleet) -> Finding:
    """There are active accounts, and each has a snapshot of the latest day that is closed."""
    active = fleet.active
    stale = [account for account in active if fleet.closed in fleet.find_missing_days(account)]
    rows = sorted((_describe(fleet, account) for account in stale), key=itemgetter("last_snapshot"))
    figures = {"active": len(active), "stale": len(stale), "waiting": len(fleet.waiting)}
    if not active:
        return Finding(passed=False, message=NOBODY_ACTIVE, figures=figures)
    have = choose_form(len(stale), "has", "have")
    message = f"{len(stale)} of {format_count(len(active), 'active account')} {have} no snapshot of {fleet.closed}"
    what_to_do = ": see their last runs" if stale else ""
    others = f"{_describe_waiting(fleet.waiting)}{_describe_stopped(fleet.stopped)}"
    return Finding(not stale, f"{message}{what_to_do}.{others}", figures, rows[:MAX_EXAMPLE_ROWS])


def _describe_waiting(waiting: Sequence[WaitingPull]) -> str:
    if not waiting:
        return ""
    last = format_time(max(pull.at for pull in waiting), UTC)
    if len(waiting) == 1:
        return f" 1 pull waits for its LMS until {last}."
    return f" {len(waiting)} pulls wait for their LMS, the last one until {last}."


def _describe_stopped(stopped: Sequence[StoppedPull]) -> str:
    if not stopped:
        return ""
    latest = max(stopped, key=lambda pull: pull.at)
    return (
        f" {format_count(len(stopped), 'pull')} stopped at a bound or for lack of space, the last one of {latest.partition}: {latest.reason} "
        "`lms-pipeline accounts list` names all of them."
    )


def accounts_are_connected(fleet: Fleet) -> Finding:
    """Every account that was not removed is active; the others can't be pulled until their owners connect them again."""
    listed = [account for account in fleet.accounts if account.status not in {INACTIVE, GONE}]
    lost = [account for account in listed if account.status != ACTIVE]
    rows = [{**_describe(fleet, account), "status": account.status} for account in lost]
    message = f"{len(lost)} of {format_count(len(listed), 'account')} can't be pulled"
    whose = choose_form(len(lost), "its owner has to connect it", "their owners have to connect them")
    what_to_do = f": {whose} again in Truto" if lost else ""
    figures = {"accounts": len(listed), "not_connected": len(lost)}
    if not fleet.active:
        return Finding(passed=False, message=NOBODY_ACTIVE, figures=figures, rows=rows[:MAX_EXAMPLE_ROWS])
    return Finding(not lost, f"{message}{what_to_do}.", figures, rows[:MAX_EXAMPLE_ROWS])


def no_day_is_missing(fleet: Fleet) -> Finding:
    """No active account lacks one of the last seven days; missing days of other accounts, and older ones, are counted."""
    gaps = list(_find_gaps(fleet))
    missing, failed = sum_column(gaps, "missing"), sum_column(gaps, "failed")
    since = str(fleet.closed - timedelta(days=GAP_ALERT_DAYS))
    recent = [gap for gap in gaps if gap["status"] == ACTIVE and gap["last"] > since]
    published = sum(len(days) for days in fleet.days.values())
    figures = {
        "published": published,
        "missing": missing,
        "failed": failed,
        "never_asked": missing - failed,
        "accounts_with_gaps": len(gaps),
    }
    message = (
        f"{format_count(published, 'snapshot')} {choose_form(published, 'is', 'are')} published, and {missing:,} "
        f"{choose_form(missing, 'is', 'are')} missing since {choose_form(missing, 'its', 'their')} account's first day: "
        f"{failed:,} failed, {missing - failed:,} had no run; {format_count(len(recent), 'active account')} "
        f"{choose_form(len(recent), 'lacks', 'lack')} one of the last {GAP_ALERT_DAYS} days."
    )
    if not fleet.active:
        return Finding(
            passed=False, message=f"{NOBODY_ACTIVE} {message}", figures=figures, rows=gaps[:MAX_EXAMPLE_ROWS]
        )
    return Finding(not recent, message, figures, (recent or gaps)[:MAX_EXAMPLE_ROWS])


def accounts_are_listed(fleet: Fleet) -> Finding:
    """The latest list of accounts was used; one that lacks more than half of the active accounts changes nothing."""
    refusal = fleet.refusal
    if refusal is None:
        return Finding(passed=True, message="The latest list of accounts was used.", figures={"refused": 0})
    message = f"Since {refusal.at:%Y-%m-%d %H:%M} UTC: {refusal.sentence}"
    return Finding(passed=False, message=message, figures={"refused": 1})


def warehouse_is_whole(fleet: Fleet) -> Finding:
    """The latest build of the warehouse left no file out; it leaves out what is damaged or of a newer version."""
    left_out = fleet.left_out
    rows = [{"reason": reason} for reason in left_out[:MAX_EXAMPLE_ROWS]]
    message = (
        f"{format_count(len(left_out), 'file')} {choose_form(len(left_out), 'is', 'are')} left out of the warehouse"
    )
    return Finding(not left_out, f"{message}{': see the rows' if rows else ''}.", {"left_out": len(left_out)}, rows)


def rules_match(fleet: Fleet) -> Finding:
    """LMS_RULES_FILE can be used, and each of its rules matches a course in the latest snapshot of an active account."""
    faults = fleet.faulty_rules
    figures = {"rules": fleet.rules, "wrong": len(faults)}
    if not faults:
        return Finding(passed=True, message=f"{format_count(fleet.rules, 'rule')} can be used.", figures=figures)
    rows = [{"rule": fault} for fault in faults[:MAX_EXAMPLE_ROWS]]
    message = f"{format_count(len(faults), 'fault')} in LMS_RULES_FILE: `lms-pipeline rules` lists all of them."
    return Finding(passed=False, message=message, figures=figures, rows=rows)


def partitions_are_few(fleet: Fleet) -> Finding:
    """Accounts times days are at most four fifths of the partition keys that Dagster advises."""
    count = fleet.partitions
    figures = {"partition_keys": count.keys, "advised": MAX_ADVISED_KEYS}
    return Finding(not count.is_near_limit, str(count), figures)


def _describe(fleet: Fleet, account: RegisteredAccount) -> dict[str, Any]:
    days = fleet.days.get(account.id)
    return {
        "account_id": account.id,
        "first_day": str(account.first_day),
        "last_snapshot": str(max(days)) if days else "",
        "days_missing": len(fleet.find_missing_days(account)),
    }


def _find_gaps(fleet: Fleet) -> Iterator[dict[str, Any]]:
    """Yield a row for each account with missing days: their number, the first and last, and how many runs failed.

    The account with the latest missing day comes first.
    """
    gaps = ((account, days) for account in fleet.accounts if (days := fleet.find_missing_days(account)))
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
    Check(accounts_are_listed),
    Check(accounts_are_connected, is_error=False),
    Check(warehouse_is_whole),
    Check(rules_match, is_error=False),
    Check(partitions_are_few, is_error=False),
)
"""The checks of all accounts."""
