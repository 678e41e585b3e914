"""Days: when one ends, and which one may be pulled now.

What belongs here: pure calendar arithmetic in the pipeline's time zone. The clock itself is `Settings.now`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from lms_pipeline.errors import LmsPipelineError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


class DayNotOpenError(LmsPipelineError):
    """A pull was asked for a day whose state can't be told now."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of `zone`; a pull of a day may start until `grace_hours` (24 at most) after its end.

    With 24, exactly one ended day is open at every instant, also where a day has 23 or 25 hours: the grace is
    counted on the wall clock.
    """

    zone: ZoneInfo
    grace_hours: float = 24

    def ends_at(self, day: date) -> datetime:
        """The instant at which `day` ends, in UTC: 00:00 of the next day in the zone. It is the day's "as of"."""
        return self._wall(day, 0).astimezone(UTC)

    def closes_at(self, day: date) -> datetime:
        """The instant from which a pull of `day` may not start any more, in UTC."""
        return self._wall(day, self.grace_hours).astimezone(UTC)

    def latest_ended(self, now: datetime) -> date:
        """The last day that is over at `now`."""
        return now.astimezone(self.zone).date() - timedelta(days=1)

    def open_day(self, now: datetime) -> date | None:
        """The one day that may be pulled at `now`; None between the end of the grace and the next day's end."""
        day = self.latest_ended(now)
        return day if now < self.closes_at(day) else None

    def latest_closed(self, now: datetime) -> date:
        """The last day that can't be pulled any more at `now`."""
        day = self.latest_ended(now)
        return day if now >= self.closes_at(day) else day - timedelta(days=1)

    def check_open(self, day: date, now: datetime) -> None:
        """Refuse a day that hasn't ended, or whose grace is over.

        Raises:
            DayNotOpenError: naming the day that is open.
        """
        open_day = self.open_day(now)
        if day == open_day:
            return
        trouble = "has not ended yet" if now < self.ends_at(day) else "is over and its grace too"
        instead = f"the day that is open is {open_day}" if open_day else "no day is open at this hour"
        raise DayNotOpenError(
            f"{day} {trouble}, and the API tells only the present, which is never stored as another day's: {instead}."
        )

    def _wall(self, day: date, hours_after_end: float) -> datetime:
        midnight = datetime.combine(day + timedelta(days=1), time.min, tzinfo=self.zone)
        return midnight + timedelta(hours=hours_after_end)
