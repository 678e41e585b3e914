from datetime import UTC, date, datetime

import pytest

from lms_pipeline.partition_count import PartitionCount
from lms_pipeline.settings import Settings

NOW = datetime(2025, 11, 27, 2, tzinfo=UTC)
"""330 days of the year are over."""


def counted(accounts, start_date=date(2025, 1, 1)):
    return PartitionCount(accounts, Settings(start_date=start_date, frozen_now=NOW))


@pytest.mark.parametrize(("accounts", "count", "too_many"), [(300, 99_000, False), (304, 100_320, True)])
def test_every_account_and_day_is_a_partition(accounts, count, too_many):
    assert (counted(accounts).count, counted(accounts).is_too_many) == (count, too_many)


def test_before_the_first_day_there_are_none():
    assert counted(300, start_date=date(2025, 12, 24)).count == 0


def test_too_many_are_told_with_what_to_do():
    assert str(counted(304)) == (
        "100,320 partitions by account and day are more than the 100,000 that Dagster is good for: raise LMS_START_DATE, "
        "or give some accounts an installation of their own."
    )
