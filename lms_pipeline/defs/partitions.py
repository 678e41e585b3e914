"""Partitions by account and day: their definition, and the conversion between Dagster's keys and `Partition`.

Not here: which partitions get a run (`run_requests.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import dagster as dg

from lms_pipeline.lake.paths import BadIdError, Partition
from lms_pipeline.settings import Settings

ACCOUNTS = dg.DynamicPartitionsDefinition(name="account")
"""Follows the registry. Keys are added and never deleted: without its key Dagster no longer shows a stored day."""
ACCOUNT_TAG, DATE_TAG = "dagster/partition/account", "dagster/partition/date"
"""Tags in which Dagster stores the dimensions of a run's partition key."""


def build_account_days(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Build the partitions: every account, and every day from the start date to the latest that ended."""
    end = None  # Dagster's clock decides
    if settings.frozen_now:
        end = (settings.calendar.find_latest_ended(settings.now()) + timedelta(days=1)).isoformat()
    start = settings.start_date.isoformat()
    days = dg.DailyPartitionsDefinition(start_date=start, timezone=settings.timezone, end_date=end)
    return dg.MultiPartitionsDefinition({"account": ACCOUNTS, "date": days})


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


def read_partition(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Partition:
    """Return the account and day of the run. The account id is validated."""
    key = context.partition_key
    assert isinstance(key, dg.MultiPartitionKey)  # noqa: S101 (these assets and checks have no other partitions)
    return Partition(key.keys_by_dimension["account"], date.fromisoformat(key.keys_by_dimension["date"]))


def parse_partition_tags(tags: Mapping[str, str]) -> Partition | None:
    """Return the account and day in the tags of a run; None for a run without them, as of another project's assets."""
    try:
        return Partition(tags[ACCOUNT_TAG], date.fromisoformat(tags[DATE_TAG]))
    except (KeyError, ValueError, BadIdError):
        return None
