"""The first day that Dagster lists as a partition; the lake and the warehouse keep all days.

Belongs here: this day, from the settings and the registry, and which earlier ones a command accepts. Not here: Dagster's
definition of partitions (`defs/partitions.py`).
"""

from __future__ import annotations

import logging
from datetime import date, timedelta

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.settings import EARLIEST_DAY, Settings

log = logging.getLogger(__name__)


def find_first_day(settings: Settings) -> date:
    """Return the first day that Dagster lists now.

    It is LMS_START_DATE, else the first day of the oldest account of the registry. With LMS_PARTITION_DAYS it is not
    before the Monday on or before so many days ago.
    """
    latest = settings.calendar.find_latest_ended(settings.now())
    first = _find_first_of_registry(settings, latest) if settings.start_date is None else settings.start_date
    if not settings.partition_days:
        return first
    day = latest + timedelta(days=1) - timedelta(days=settings.partition_days)
    return max(first, day - timedelta(days=day.weekday()))


def _find_first_of_registry(settings: Settings, latest: date) -> date:
    """Return the first day of the oldest account; the latest ended day if no account is registered, or none so early."""
    try:
        accounts = Registry.open(settings).read_accounts()
    except LmsPipelineError as error:  # what needs an account fails with this sentence; the definitions load
        log.warning("%s", error)
        accounts = []
    return min([latest, *(account.first_day for account in accounts)])


def check_first_day(settings: Settings, day: date) -> None:
    """Refuse a day that no command accepts. Days that Dagster does not list for another reason are accepted.

    Raises:
        WrongUseError: it is before LMS_START_DATE, or before the first day that any data directory has.
    """
    if settings.start_date is not None and day < settings.start_date:
        raise WrongUseError(f"{day} is before the first day, LMS_START_DATE {settings.start_date}.")
    if day < EARLIEST_DAY:
        raise WrongUseError(f"{day} is before {EARLIEST_DAY}: no data directory has a snapshot of it.")


def freeze_first_day(settings: Settings, day: date | None = None) -> Settings:
    """Return settings with which `find_first_day` always returns what it returns now, or an earlier `day`.

    All assets of a code location must have the same partitions, also if a week begins or an account is added meanwhile.
    """
    first = find_first_day(settings)
    return settings.model_copy(update={"start_date": min(first, day or first), "partition_days": 0})
