"""Account x day: the partitions of everything that is stored per account.

What belongs here: the definitions, and the way between a partition key and our own words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg

from lms_pipeline.lake.paths import Partition
from lms_pipeline.settings import Settings

ACCOUNTS = dg.DynamicPartitionsDefinition(name="account")
"""Follows the registry; keys are added and never deleted, since Dagster's log would keep the days without them."""


def add_accounts(instance: dg.DagsterInstance, account_ids: Iterable[str]) -> list[str]:
    """Make sure that accounts are partition keys, before runs are asked for them; returns those that are new.

    Not by a request of a tick: Dagster resolves the runs that a tick asks for against the keys before it.
    """
    known = set(instance.get_dynamic_partitions(ACCOUNTS.name or ""))
    new = [account_id for account_id in account_ids if account_id not in known]
    instance.add_dynamic_partitions(ACCOUNTS.name or "", new)
    return new


def account_days(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Every account and every day from the start date to the latest that ended."""
    days = dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        timezone=settings.timezone,
        end_date=_end(settings),
    )
    return dg.MultiPartitionsDefinition({"account": ACCOUNTS, "date": days})


def partition_key(account_id: str, day: date) -> dg.MultiPartitionKey:
    """The key of an account and day."""
    return dg.MultiPartitionKey({"account": account_id, "date": day.isoformat()})


def partition_of(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Partition:
    """The account and day of the run, its id validated."""
    key = context.partition_key
    assert isinstance(key, dg.MultiPartitionKey)  # noqa: S101 (these assets and checks have no other)
    return Partition(key.keys_by_dimension["account"], date.fromisoformat(key.keys_by_dimension["date"]))


def _end(settings: Settings) -> str | None:
    """Where `LMS_NOW` stands for the present it ends the days too; else Dagster's own clock does."""
    if settings.frozen_now is None:
        return None
    return (settings.calendar.find_latest_ended(settings.now()) + timedelta(days=1)).isoformat()
