"""Refusal of what would store today's state as another day's: the API returns the present only.

Belongs here: later snapshots, the recorded time zone, and responses after the grace period. Not here: the arithmetic of
days (`days.py`), the comparison of our clock with the server's (`connection.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from lms_pipeline.days import Calendar, DayNotOpenError, UnknownZoneError, WrongPresentError, load_zone
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.store import ResponseStore, StoredResponse
from lms_pipeline.truto.transport import Gate

log = logging.getLogger(__name__)


def is_kept(job: SnapshotJob, data: DataDir, calendar: Calendar, now: datetime) -> bool:
    """Return whether the day can't be pulled any more, and has its snapshot.

    After a later snapshot of the account, today's state is not that of the day, whatever the clock says.
    """
    names = job.tables if job.lists_only else {UNIFIED_ENROLLMENTS.name}
    is_published = all(data.is_published(TABLES[name], job.partition) for name in names)
    is_closed = now >= calendar.closes_at(job.day) or _find_later_snapshot(data, job.partition) is not None
    return is_published and is_closed


def check_later_snapshot(data: DataDir, partition: Partition) -> None:
    """Refuse to pull a day before a snapshot of the account.

    Raises:
        WrongPresentError: the account has a later snapshot.
    """
    later = _find_later_snapshot(data, partition)
    if later is not None:
        raise WrongPresentError(
            f"{partition} can't be pulled, since {later.account_id} has a snapshot of {later.day}: the clock of this "
            "machine or LMS_TIMEZONE is wrong, or was wrong then; correct it, or remove that snapshot with "
            f"`lms-pipeline housekeeping --remove {later.account_id} {later.day}`."
        )


def check_present(data: DataDir, partition: Partition, calendar: Calendar, now: datetime) -> None:
    """Refuse to pull a day that is open by the clock, and not by what is recorded. The first pull records the time zone.

    Raises:
        WrongPresentError: the account has a later snapshot, or the days of the data directory are those of another zone
            in which another day is open now.
        LakeError, StateError: the time zone can't be recorded.
    """
    check_later_snapshot(data, partition)
    recorded = _record_zone(data, calendar)
    open_day = Calendar(recorded, calendar.grace_hours).find_open_day(now)
    if open_day != partition.day:
        raise WrongPresentError(
            f"{partition} can't be pulled: the days of {data.root} are those of {recorded.key}, where {open_day or 'no day'} is "
            f"open now, and LMS_TIMEZONE is {calendar.zone.key}; set it back, or remove "
            f"{data.storage.state.describe(data.time_zone.name)} to begin the days of {calendar.zone.key}."
        )


def _find_later_snapshot(data: DataDir, partition: Partition) -> Partition | None:
    latest = data.find_latest_snapshot(partition.account_id, before=date.max)
    return latest if latest is not None and latest.day > partition.day else None


def _record_zone(data: DataDir, calendar: Calendar) -> ZoneInfo:
    """Return the recorded time zone; the first process writes its own, also in the place of a damaged note.

    Readers hold no lock: they find no note, or a whole one.
    """
    state, name = data.storage.state, data.time_zone.name
    recorded = _decode_zone(state.read_note(name, "it is written again"))
    if recorded is not None:
        return recorded
    with state.lock("time_zone"):
        content = state.read_note(name, "it is written again")
        recorded = _decode_zone(content)  # another process has written it
        if recorded is not None:
            return recorded
        if content is not None:
            state.set_aside_note(name, "it holds no time zone", "it is written again")
        state.write_note(name, str(calendar.zone.key).encode())
    return calendar.zone


def _decode_zone(content: bytes | None) -> ZoneInfo | None:
    """Return the time zone of a note; None if it holds none, or is missing."""
    try:
        return None if content is None else load_zone(content.decode(errors="replace").strip())
    except UnknownZoneError:
        return None


class OutrunDayError(DayNotOpenError):
    """The day of a pull that began in time has closed meanwhile."""

    sends_alert = True


@dataclass(frozen=True)
class OpenDay:
    """The day of a pull while it is open: guards its requests and its responses."""

    partition: Partition
    calendar: Calendar
    now: Callable[[], datetime]

    @cached_property
    def closes_at(self) -> datetime:
        """The end of its grace period."""
        return self.calendar.closes_at(self.partition.day)

    def measure_time_left(self) -> float:
        """Return the seconds until the day closes; below 0 after that."""
        return (self.closes_at - self.now()).total_seconds()

    def guard_requests(self, gate: Gate) -> Gate:
        """Return a gate that refuses requests after the grace period, before and after the waits of `gate`."""

        def pass_gate(request: Request) -> None:
            self.check(self.now())
            gate(request)
            self.check(self.now())

        return pass_gate

    def check(self, instant: datetime) -> None:
        """Refuse an instant after the grace period.

        Raises:
            OutrunDayError: the day is closed.
        """
        if instant >= self.closes_at:
            raise OutrunDayError(
                f"The pull of {self.partition} did not end in time: the grace period of the day ended at "
                f"{self.closes_at:%Y-%m-%d %H:%M} UTC, and {self.calendar.find_open_day(instant) or 'no day'} is open now; start "
                "pulls earlier (LMS_SCHEDULE), or allow them more calls an hour (calls_per_hour)."
            )


@dataclass(frozen=True, slots=True)
class OpenDayStore:
    """A store that refuses responses of a closed day."""

    store: ResponseStore
    day: OpenDay

    def get(self, key: str) -> StoredResponse | None:
        """Return the stored response of a request, if any."""
        return self.store.get(key)

    def put(self, key: str, response: StoredResponse) -> None:
        """Store a response.

        Raises:
            OutrunDayError: it was received after the grace period.
        """
        self.day.check(response.received_at)
        self.store.put(key, response)
