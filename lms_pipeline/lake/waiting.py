"""Pulls that ended because their LMS allowed no call for a while, and continue in a later run.

Belongs here: the note in which such a pull says when it continues. Not here: what starts it again (`defs/`, `commands/`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.pull_notes import Instant, NoteFile, PullNote

FILE_NAME = "continues_later.json"
START_GRACE = timedelta(minutes=5)
"""Time after `WaitingPull.at` for the sensor to start the pull again, before others do."""


class WaitingPull(PullNote, frozen=True, kw_only=True):
    """A pull without a run. Times are those of the machine's clock, whatever LMS_NOW is: the LMS knows no other."""

    run_id: str
    """The run that ended."""
    since: Instant
    """When it ended."""
    at: Instant
    """When the next call is allowed."""
    subject: str
    """What allows no call before, as the begin of a sentence."""
    spent_seconds: float
    """Seconds that the pull has lasted in all its runs, with their waits; `max_hours` limits them."""
    responses: int
    """Stored responses."""
    lists_only: bool = False
    """Whether only the lists of users or courses are pulled."""

    def is_due(self, now: datetime) -> bool:
        """Return whether the next call is allowed; also if the clock was set to a time before the wait."""
        return not self.since <= now < self.at

    def is_expected(self, now: datetime) -> bool:
        """Return whether the pull waits, or is about to be started again."""
        return self.since <= now < self.at + START_GRACE

    def describe(self, zone: tzinfo) -> str:
        """Return the sentence for people, with the time in a zone."""
        count = f"{format_count(self.responses, 'response')} {choose_form(self.responses, 'is', 'are')} kept"
        return f"{self.subject} allows the next call at {format_time(self.at, zone)}: the pull continues then; {count}."


_NOTE = NoteFile(FILE_NAME, WaitingPull)
_CONSEQUENCE = "the pull continues at once"


def format_time(at: datetime, zone: tzinfo) -> str:
    """Return a time like `14:05 UTC`; the next minute begins where seconds are left."""
    whole = at if at == at.replace(second=0, microsecond=0) else at + timedelta(minutes=1)
    return f"{whole.astimezone(zone):%H:%M} {zone}"


def save_waiting(data: DataDir, pull: WaitingPull) -> None:
    """Store when a pull continues. The caller holds the partition's lock.

    Raises:
        LakeError, StateError: the note can't be written.
    """
    _NOTE.save(data, pull)


def take_waiting(data: DataDir, partition: Partition) -> WaitingPull | None:
    """Return and remove what an earlier run stored. The caller holds the partition's lock.

    Raises:
        LakeError, StateError: the note can't be removed.
    """
    state, name, pull = data.storage.state, _NOTE.build_name(data, partition), read_waiting(data, partition)
    if pull is None and state.read_note(name, _CONSEQUENCE) is not None:
        state.set_aside_note(name, "it does not hold what this version writes", _CONSEQUENCE)
    state.remove_note(name, _CONSEQUENCE)
    return pull


def read_waiting(data: DataDir, partition: Partition) -> WaitingPull | None:
    """Return when the pull of a partition continues; None if it does not wait."""
    return _NOTE.read(data, partition)


def find_waiting(data: DataDir, day: date | None = None) -> list[WaitingPull]:
    """Return the pulls that continue later, of a day or of all days. Damaged files are left out: they cost nothing."""
    return list(_NOTE.find(data, day))


def utc_now() -> datetime:
    """Return the time of the machine's clock."""
    return datetime.now(UTC)
