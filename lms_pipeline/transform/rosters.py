"""Read TalentLMS's rosters: the enrollments in the response about one course or one user, and their rows.

Belongs here: `users[]` of a course and `courses[]` of a user (`docs/talentlms.md`). Not here: the requests
(`extract/strategies.py`), and which enrollments get a row from their roster entry only (`extract/plan.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa

from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline.transform.coerce import (
    OptionalRaw,
    SentinelDateError,
    UnreadableValueError,
    read_object_id,
    read_value,
    read_value_or_none,
)
from lms_pipeline.transform.timestamps import SENTINELS_END
from lms_pipeline.truto.raw_json import read_field
from lms_pipeline.truto.response import is_too_large

RosterKey = Literal["users", "courses"]
"""The key of the list in a roster response: the users of a course, or the courses of a user."""

MAX_SECONDS = 2**53
"""The largest time spent that is stored. It is the largest integer that JSON holds exactly, and no person's time."""

_STATUSES = {
    "completed": "completed",
    "incomplete": "in_progress",
    "not attempted": "enrolled",
    "not_attempted": "enrolled",
    "failed": "failed",
}
"""TalentLMS's `completion_status`, as code or label. Only the courses of a user have it."""

EPOCHS = ("enrolled_on_timestamp", "completed_on_timestamp")
"""The fields of an entry that fill a timestamp."""

_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)", re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,18})h)?\s*(?:(\d{1,18})m)?\s*(?:(\d{1,18})s)?")


class RosterEntry(NamedTuple):
    """One enrollment in a roster response."""

    user_id: str
    course_id: str
    payload: bytes
    """The JSON of the entry as received; empty if the pair comes from no roster."""


class RosterResponse(NamedTuple):
    """The enrollments of one roster response."""

    entries: list[RosterEntry]
    unusable: int
    """Entries without a usable id, which make no pair, and those that are too large."""


class _Record(msgspec.Struct, frozen=True, gc=False):
    remote_data: OptionalRaw = msgspec.UNSET


_EMPTY_RECORD = _Record()


def read_roster_response(record: msgspec.Raw, key: RosterKey, owner_id: str) -> RosterResponse | None:
    """Return the enrollments of the course or user `owner_id`; None if the response has no list, not even an empty one."""
    remote_data = read_field(record, _Record, _EMPTY_RECORD).remote_data
    members: dict[str, msgspec.Raw] = read_field(remote_data, dict[str, msgspec.Raw], {})
    items = read_field(members.get(key, msgspec.UNSET), list[msgspec.Raw], None)
    if items is None:
        return None
    usable = (item for item in items if not is_too_large(item))
    found = [(other_id, bytes(item)) for item in usable if (other_id := read_object_id(item)) is not None]
    entries = [
        RosterEntry(other_id, owner_id, payload) if key == "users" else RosterEntry(owner_id, other_id, payload)
        for other_id, payload in found
    ]
    return RosterResponse(entries, len(items) - len(entries))


class _Entry(msgspec.Struct, gc=False):
    """The fields that are read.

    The text dates are in the portal's local time: only their presence counts, unless they mean "no date".
    """

    role: OptionalRaw = msgspec.UNSET
    enrolled_on_timestamp: OptionalRaw = msgspec.UNSET
    completed_on: OptionalRaw = msgspec.UNSET
    completed_on_timestamp: OptionalRaw = msgspec.UNSET
    expired_on: OptionalRaw = msgspec.UNSET
    expired_on_timestamp: OptionalRaw = msgspec.UNSET
    completion_status: OptionalRaw = msgspec.UNSET
    completion_percentage: OptionalRaw = msgspec.UNSET
    total_time: OptionalRaw = msgspec.UNSET
    total_time_seconds: OptionalRaw = msgspec.UNSET


_ENTRY = msgspec.json.Decoder(_Entry)


class RosterRow(NamedTuple):
    """The columns of an enrollment that its roster entry can fill, None if unknown."""

    status: str
    progress_percent: float | None
    enrolled_at: datetime | None
    completed_at: datetime | None
    time_spent_seconds: int | None
    role: str | None
    extra: str | None = None


def read_roster_entry(payload: bytes, counts: Counter[str] | None = None) -> RosterRow:
    """Return the row of one entry; `extra` keeps what could not be read, or means "no date", under its name.

    The first of these gives the status: `completed_on`, `expired_on`, `completion_status`, a percentage or time above
    0 (`in_progress`). Without any of them it is `enrolled`.

    Args:
        payload: the JSON of the entry.
        counts: gets what `extra` keeps, as `unreadable_<field>` and `sentinel_<field>`.
    """
    entry = _ENTRY.decode(payload)
    values, errors = _read_fields(entry)
    completed_at, progress = values["completed_on_timestamp"], values["completion_percentage"]
    seconds = values["total_time"] if values["total_time_seconds"] is None else values["total_time_seconds"]
    if completed_at is not None or _has_text_date(entry.completed_on):
        status = "completed"
    elif _read_epoch_or_none(entry.expired_on_timestamp) is not None or _has_text_date(entry.expired_on):
        status = "expired"
    elif "completion_status" in errors:
        status = "unknown"
    else:
        is_begun = (progress or 0) > 0 or (seconds or 0) > 0
        status = values["completion_status"] or ("in_progress" if is_begun else "enrolled")
    if counts is not None:
        counts.update(
            f"{'sentinel' if isinstance(error, SentinelDateError) else 'unreadable'}_{name}"
            for name, error in errors.items()
        )
    kept = msgspec.json.encode({name: getattr(entry, name) for name in errors}).decode() if errors else None
    return RosterRow(status, progress, values["enrolled_on_timestamp"], completed_at, seconds, values["role"], kept)


def build_roster_batch(
    entries: Sequence[RosterEntry], fetched_at: Iterable[datetime], counts: Counter[str] | None = None
) -> pa.RecordBatch:
    """Return rows of `unified_enrollments` with the source `roster`; columns that a roster does not give are null.

    `counts` gets what could not be read, as in `read_roster_entry`.
    """
    rows = [
        (entry.user_id, entry.course_id, *read_roster_entry(entry.payload, counts), "roster", instant)
        for entry, instant in zip(entries, fetched_at, strict=True)
    ]
    names = ("user_id", "course_id", *RosterRow._fields, "source", "fetched_at")
    values = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    schema = arrow_schema(UNIFIED_ENROLLMENTS)
    arrays = [
        pa.array(values[column.name], column.type) if column.name in values else pa.nulls(len(rows), column.type)
        for column in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read_fields(entry: _Entry) -> tuple[dict[str, Any], dict[str, UnreadableValueError]]:
    """Return the values of the fields that fill a column, None if unknown, and why some can't be read, by their names."""
    values: dict[str, Any] = dict.fromkeys(_READERS)
    errors = {}
    for name, read in _READERS.items():
        raw = getattr(entry, name)
        if not isinstance(raw, msgspec.UnsetType):
            try:
                values[name] = read(raw)
            except UnreadableValueError as error:
                errors[name] = error
    return values, errors


def read_epoch(raw: msgspec.Raw) -> datetime | None:
    """Return the instant of an epoch in seconds, in a string or a number; null, `""` and 0 are no instant.

    Raises:
        UnreadableValueError: it is no number, or one after the year 9999, such as an epoch in milliseconds.
        SentinelDateError: it is a timestamp that means "no date".
    """
    seconds = read_value("double", raw)
    if not seconds:
        return None
    if seconds < SENTINELS_END.timestamp():
        raise SentinelDateError("means that there is no date")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnreadableValueError("is out of range") from None


def _read_epoch_or_none(raw: OptionalRaw) -> datetime | None:
    try:
        return None if isinstance(raw, msgspec.UnsetType) else read_epoch(raw)
    except UnreadableValueError:
        return None


def _read_status(raw: msgspec.Raw) -> str | None:
    """Return the status that a `completion_status` means; None for a blank one."""
    text = _read_text(raw).strip().lower()
    if text and text not in _STATUSES:
        raise UnreadableValueError("is no status of TalentLMS")
    return _STATUSES.get(text)


def _read_number(raw: msgspec.Raw) -> float | None:
    number: float | None = read_value("double", raw)
    return number


def _read_seconds(raw: msgspec.Raw) -> int | None:
    seconds = _read_number(raw)
    return None if seconds is None else _check_seconds(int(seconds))


def _read_duration(raw: msgspec.Raw) -> int | None:
    """Return the seconds of a text such as "1h 2m 3s"; one without a digit, such as `-`, is none."""
    text = _read_text(raw).strip()
    match = _DURATION.fullmatch(text)
    if match is not None and any(match.groups()):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return _check_seconds(hours * 3_600 + minutes * 60 + seconds)
    if any(character.isdecimal() for character in text):
        raise UnreadableValueError("is no duration")
    return None


def _check_seconds(seconds: int) -> int:
    if not 0 <= seconds <= MAX_SECONDS:
        raise UnreadableValueError("is out of range")
    return seconds


def _read_text(raw: msgspec.Raw) -> str:
    return read_value("string", raw) or ""


_READERS: Mapping[str, Callable[[msgspec.Raw], object]] = {
    "role": lambda raw: _read_text(raw) or None,
    **dict.fromkeys(EPOCHS, read_epoch),
    "completion_status": _read_status,
    "completion_percentage": _read_number,
    "total_time": _read_duration,
    "total_time_seconds": _read_seconds,
}


def _has_text_date(raw: OptionalRaw) -> bool:
    """Return whether a text is a date: one without a digit above 0 is none (`0`, `-`, `Never`, `00/00/00`)."""
    text: str = read_value_or_none("string", raw) or ""
    if not any(character.isdecimal() and int(character) for character in text):
        return False
    year = _YEAR.search(text)
    return year is None or int(year[0]) >= SENTINELS_END.year
