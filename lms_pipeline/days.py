"""Calendar days: when a day ends, and which day is open for a pull.

Belongs here: pure calendar arithmetic in `LMS_TIMEZONE`. Not here: the clock (`Settings.now`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from lms_pipeline.errors import LmsPipelineError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


class DayNotOpenError(LmsPipelineError):
    """The day to pull has not ended, or its grace period is over."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of `zone`. A pull of a day may start until `grace_hours` (24 at most) after its end.

    With 24, exactly one ended day is open at every instant, even if a day has 23 or 25 hours: the grace period is
    measured on the wall clock.
    """

    zone: ZoneInfo
    grace_hours: float = 24

    def ends_at(self, day: date) -> datetime:
        """Return the instant at which `day` ends, in UTC: 00:00 of the next day in the zone."""
        return self._add_hours_to_end(day, 0).astimezone(UTC)

    def closes_at(self, day: date) -> datetime:
        """Return the instant from which a pull of `day` may no longer start, in UTC."""
        return self._add_hours_to_end(day, self.grace_hours).astimezone(UTC)

    def find_latest_ended(self, now: datetime) -> date:
        """Return the latest day that has ended at `now`."""
        return now.astimezone(self.zone).date() - timedelta(days=1)

    def find_open_day(self, now: datetime) -> date | None:
        """Return the one day that may be pulled at `now`; None between the end of its grace period and the next day's end."""
        day = self.find_latest_ended(now)
        return day if now < self.closes_at(day) else None

    def find_latest_closed(self, now: datetime) -> date:
        """Return the latest day that can no longer be pulled at `now`."""
        day = self.find_latest_ended(now)
        return day if now >= self.closes_at(day) else day - timedelta(days=1)

    def check_open(self, day: date, now: datetime) -> None:
        """Refuse a day that has not ended, or whose grace period is over.

        Raises:
            DayNotOpenError: with the day that is open.
        """
        open_day = self.find_open_day(now)
        if day == open_day:
            return
        closed = "is closed and can't be pulled any more, since the API returns only the current state"
        problem = "has not ended yet" if now < self.ends_at(day) else closed
        instead = f"the day that is open is {open_day}" if open_day else "no day is open at this hour"
        raise DayNotOpenError(f"{day} {problem}: {instead}.")

    def _add_hours_to_end(self, day: date, hours_after_end: float) -> datetime:
        midnight = datetime.combine(day + timedelta(days=1), time.min, tzinfo=self.zone)
        return midnight + timedelta(hours=hours_after_end)
