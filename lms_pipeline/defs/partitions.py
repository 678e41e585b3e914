"""Partitions by account and day: their definition, and the conversion between Dagster's keys and `Partition`.

Not here: which partitions get a run (`run_requests.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, date, timedelta

import dagster as dg

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import BadIdError, Partition
from lms_pipeline.settings import Settings

ACCOUNTS = dg.DynamicPartitionsDefinition(name="account")
"""Follows the registry. Keys are added and never deleted: without its key Dagster no longer shows a stored day."""
ACCOUNT_TAG, DATE_TAG = "dagster/partition/account", "dagster/partition/date"
"""Tags in which Dagster stores the dimensions of a run's partition key."""
PARTITION_TAG = "dagster/partition"
"""Dagster's tag with the whole partition key of a run."""
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
"""Dagster's tags with the first and last key of a run of several partitions."""
SELECT_ONE = "select one account and one day"


class BadPartitionError(WrongUseError):
    """A run without an account and a day."""


def build_account_days(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Build the partitions: every account, and every day of `build_days`."""
    return dg.MultiPartitionsDefinition({"account": ACCOUNTS, "date": build_days(settings)})


def build_days(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Build the partitions by day: every day from the first that is listed to the latest that ended."""
    end = None  # Dagster's clock decides
    if settings.frozen_now:
        end = (settings.calendar.find_latest_ended(settings.now()) + timedelta(days=1)).isoformat()
    start = find_first_day(settings).isoformat()
    return dg.DailyPartitionsDefinition(start_date=start, timezone=settings.timezone, end_date=end)


def build_same_day_mapping() -> dg.MultiToSingleDimensionPartitionMapping:
    """Build the mapping of a day over all accounts to the same day of each account."""
    with warnings.catch_warnings():
        # what Dagster infers as well; by name, the graph does not depend on that
        warnings.filterwarnings("ignore", "Class `MultiToSingleDimensionPartitionMapping`", dg.BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping("date")


def add_accounts(instance: dg.DagsterInstance, account_ids: Iterable[str]) -> list[str]:
    """Add accounts as partition keys, if they are missing, and return the new ones.

    Call it before runs are requested. A schedule or sensor can't add keys in the result of the same tick: Dagster
    resolves the run requests of a tick against the keys from before it.
    """
    known = set(instance.get_dynamic_partitions(ACCOUNTS.name or ""))
    new = [account_id for account_id in account_ids if account_id not in known]
    instance.add_dynamic_partitions(ACCOUNTS.name or "", new)
    return new


def build_partition_key(partition: Partition) -> dg.MultiPartitionKey:
    """Return Dagster's key of an account and day."""
    return dg.MultiPartitionKey({"account": partition.account_id, "date": partition.day.isoformat()})


def build_partition_tags(partition: Partition) -> dict[str, str]:
    """Return the tags that Dagster gives to a run of an account and day."""
    return {
        PARTITION_TAG: str(build_partition_key(partition)),
        ACCOUNT_TAG: partition.account_id,
        DATE_TAG: partition.day.isoformat(),
    }


def has_partition(context: dg.OpExecutionContext) -> bool:
    """Return whether the run is of a partition, be it one of ours or not."""
    return any(tag.startswith((PARTITION_TAG, *RANGE_TAGS)) for tag in context.run.tags)


def read_partition(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Partition:
    """Return the account and day of the run. A person can add any key in the UI, and launch a run with any tags.

    Raises:
        BadIdError: the account is no id that may become a path.
        BadPartitionError: the run has no partition or several, or its day is no day, or not listed any more.
    """
    tags = context.run.tags
    if not tags.keys() & {PARTITION_TAG, *RANGE_TAGS}:
        raise BadPartitionError(f"The run has no partition: {SELECT_ONE}.")
    partition = _parse_tags(tags)
    check_listed(context, partition.day)
    return partition


def read_day(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> date:
    """Return the day of a run of an asset that is partitioned by day alone.

    Raises:
        BadPartitionError: the run has no partition or several, or it is no day.
    """
    tags = context.run.tags
    first, last = (tags.get(tag, tags.get(PARTITION_TAG)) for tag in RANGE_TAGS)
    if first is None or last is None:
        raise BadPartitionError("The run has no partition: select one day.")
    if first != last:
        raise BadPartitionError("The run has several partitions: select one day.")
    day = _parse_day(first)
    check_listed(context, day)
    return day


def check_listed(context: dg.AssetExecutionContext | dg.OpExecutionContext, day: date) -> None:
    """Refuse a day of an asset that left the list since the run was launched: Dagster would not show its events.

    Raises:
        BadPartitionError: with the first day that is listed.
    """
    days = context.assets_def.partitions_def if isinstance(context, dg.AssetExecutionContext) else None
    if isinstance(days, dg.MultiPartitionsDefinition):
        days = days.get_partitions_def_for_dimension("date")
    if isinstance(days, dg.DailyPartitionsDefinition) and day < (first := days.start.date()):
        raise BadPartitionError(
            f"{day} is before {first}, the first day that Dagster lists: run `lms-pipeline materialize --date {day}`."
        )


def parse_partition_tags(tags: Mapping[str, str]) -> Partition | None:
    """Return the account and day in the tags of a run.

    None for a run without them, as of another project's assets, and for one whose partition is no account and day of
    ours: that run has failed with the reason, and what looks at all runs leaves it out.
    """
    try:
        return _parse_tags(tags)
    except (BadIdError, BadPartitionError):
        return None


def _parse_tags(tags: Mapping[str, str]) -> Partition:
    """Return the account and day in the dimensions' tags if there are any, else those in the key that begins and ends a range.

    A backfill of assets sets only the tags of a range, one of a job only the others.
    """
    dimensions = {tag for tag in tags if tag.startswith(f"{PARTITION_TAG}/")}
    start, end = (tags.get(tag, tags.get(PARTITION_TAG)) for tag in RANGE_TAGS)
    if dimensions == {ACCOUNT_TAG, DATE_TAG}:
        account, day = tags[ACCOUNT_TAG], tags[DATE_TAG]
    elif dimensions or start is None or end is None:
        raise BadPartitionError(f"The run has no partition: {SELECT_ONE}.")
    elif start != end:
        raise BadPartitionError(f"The run has several partitions: {SELECT_ONE}.")
    else:
        account, _, day = start.rpartition("|")
    return Partition(account, _parse_day(day))


def _parse_day(text: str) -> date:
    """Return the day of a partition key, in the one form in which we write it."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day.isoformat() != text or day.year == MAXYEAR:  # the end of a later day can't be computed
        raise BadPartitionError(f"{text[:80]!r} can't be the day of a partition: it must be like 2026-01-31.")
    return day
