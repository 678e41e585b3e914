"""Calendar days: on which day an instant falls, when a day ends, and which day is open for a pull.

Belongs here: pure calendar arithmetic in `LMS_TIMEZONE`, and the one time zone database behind it. Not here: the clock
(`Settings.now`).
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from lms_pipeline.errors import LmsPipelineError

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


class UnknownZoneError(LmsPipelineError):
    """The time zone database has no zone of this name."""


@cache
def load_zone(name: str) -> ZoneInfo:
    """Return a time zone of the package `tzdata`, whatever the system has.

    The package is locked, so a day is the same on every machine. Its names are those of IANA, in their spelling.

    Raises:
        UnknownZoneError: it has no such zone, as `localtime` or `posix/Europe/Athens`.
    """
    database = files("tzdata")
    if name not in database.joinpath("zones").read_text(encoding="utf-8").split():
        raise UnknownZoneError(f"There is no time zone {name!r}: use a name of the IANA database, like Europe/Athens.")
    with database.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def use_locked_zones() -> None:
    """Let all libraries of this process, such as Dagster, read the time zones that `load_zone` reads."""
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()


class DayNotOpenError(LmsPipelineError):
    """The day to pull has not ended, or its grace period is over."""

    sends_alert = False


class WrongPresentError(LmsPipelineError):
    """The clock or the time zone contradicts the server, or what was recorded before: another day may be open."""


class DayPart(NamedTuple):
    """The instants from `first_at` to `last_at`, both within one day in UTC, which fall on the calendar day `day`."""

    first_at: datetime
    last_at: datetime
    day: date


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of `zone`. A pull of a day may start until `grace_hours` (24 at most) after its end.

    With 24, exactly one ended day is open at every instant, even if a day has 23 or 25 hours: the grace period is
    measured on the wall clock.
    """

    zone: ZoneInfo
    grace_hours: float = 24

    @property
    def is_utc(self) -> bool:
        """Whether its days are those of UTC."""
        return self.zone.key == "UTC"

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

    def split_utc_day(self, utc_day: date) -> list[DayPart]:
        """Return the calendar days on which the instants of a day in UTC fall, as parts without gaps.

        00:00:00 exactly is a date without a time, since LMSs that know only dates send it so: its calendar day is that
        date in every zone. The other parts follow the clocks of the zone, also if they are set back at midnight.
        """
        midnight = datetime.combine(utc_day, time.min, tzinfo=UTC)
        date_part = DayPart(midnight, midnight, utc_day)
        if utc_day == date.max:
            return [date_part, DayPart(midnight + MICROSECOND, datetime.max.replace(tzinfo=UTC), utc_day)]
        starts = [midnight, *self._find_day_changes(midnight), midnight + DAY]
        parts = [
            DayPart(max(start, midnight + MICROSECOND), end - MICROSECOND, start.astimezone(self.zone).date())
            for start, end in pairwise(starts)
        ]
        return [date_part, *parts]

    def _find_day_changes(self, midnight: datetime) -> list[datetime]:
        """Return the instants within 24 hours after `midnight` at which the calendar day of the zone changes, in order."""
        end = midnight + DAY
        clock_change = self._find_clock_change(midnight, end)
        instants = {midnight, clock_change}
        for start in instants - {end}:
            clock = start.astimezone(self.zone).replace(tzinfo=None)
            instants.add(start + DAY - (clock - datetime.combine(clock, time.min)))
        days = [(instant, instant.astimezone(self.zone).date()) for instant in sorted(instants) if instant < end]
        return [later for (_, before), (later, after) in pairwise(days) if before != after]

    def _find_clock_change(self, start: datetime, end: datetime) -> datetime:
        """Return the instant from `start` to `end` at which the zone's offset changes; `end` if it does not.

        No zone changes its offset twice within 24 hours.
        """
        offset = start.astimezone(self.zone).utcoffset()
        if offset == end.astimezone(self.zone).utcoffset():
            return end
        while end - start > timedelta(seconds=1):
            middle = start + timedelta(seconds=(end - start) // timedelta(seconds=2))
            if middle.astimezone(self.zone).utcoffset() == offset:
                start = middle
            else:
                end = middle
        return end

    def _add_hours_to_end(self, day: date, hours_after_end: float) -> datetime:
        midnight = datetime.combine(day + timedelta(days=1), time.min, tzinfo=self.zone)
        return midnight + timedelta(hours=hours_after_end)
