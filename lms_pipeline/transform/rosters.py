"""What the detail of a course or a user tells of enrollments: TalentLMS's rosters, and the rows made of them.

What belongs here: `users[]` of a course and `courses[]` of a user, as TalentLMS writes them
(`docs/talentlms.md`): finding the pairs, and reading an entry into a row where no call is left for its enrollment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec
import pyarrow as pa

from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline.transform import coerce
from lms_pipeline.transform.coerce import NOT_READ
from lms_pipeline.transform.columns import scalar_column, table_batch
from lms_pipeline.transform.reader import ABSENT

Side = Literal["users", "courses"]
"""The list in a detail: the users of a course, or the courses of a user."""

_STATUSES = {
    "completed": "completed",
    "incomplete": "in_progress",
    "not attempted": "enrolled",
    "not_attempted": "enrolled",
    "failed": "failed",
}
"""TalentLMS's `completion_status`, which only the courses of a user have, code or label."""
MOST_SECONDS = 2**53
"""What is longer is no time anybody spent, and no integer that JSON holds exactly."""
_DURATION = re.compile(r"(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?")


class Entry(NamedTuple):
    """One enrollment as a detail tells it."""

    user_id: str
    course_id: str
    detail: bytes
    """Its JSON as received."""


class _Detail(msgspec.Struct):
    remote_data: msgspec.Raw = ABSENT


class _Id(msgspec.Struct):
    id: msgspec.Raw = ABSENT


_DETAIL = msgspec.json.Decoder(_Detail)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ID = msgspec.json.Decoder(_Id)


class Listed(NamedTuple):
    """What a detail lists."""

    entries: list[Entry]
    unusable: int
    """Entries without an id: no pairs that could be asked for."""


def entries(record: msgspec.Raw, side: Side, owner_id: str) -> Listed | None:
    """The enrollments that the detail of `owner_id` lists; None where it lists none, not even an empty list."""
    try:
        listed = _MEMBERS.decode(_DETAIL.decode(record).remote_data).get(side)
        items = _ITEMS.decode(listed) if listed is not None else None
    except NOT_READ:
        return None
    if items is None:
        return None
    others = [(other, bytes(item)) for item in items if (other := _id_of(item)) is not None]
    found = [
        Entry(other, owner_id, detail) if side == "users" else Entry(owner_id, other, detail)
        for other, detail in others
    ]
    return Listed(found, len(items) - len(found))


def _id_of(item: msgspec.Raw) -> str | None:
    try:
        value: str | None = coerce.read("id", _ID.decode(item).id)
    except (*NOT_READ, coerce.Unreadable):
        return None
    return value


class _Entry(msgspec.Struct):
    """What of an entry is read; of the text dates beside the stamps, in the portal's local time, only that one is there."""

    role: msgspec.Raw = ABSENT
    enrolled_on_timestamp: msgspec.Raw = ABSENT
    completed_on: msgspec.Raw = ABSENT
    completed_on_timestamp: msgspec.Raw = ABSENT
    expired_on: msgspec.Raw = ABSENT
    expired_on_timestamp: msgspec.Raw = ABSENT
    completion_status: msgspec.Raw = ABSENT
    completion_percentage: msgspec.Raw = ABSENT
    total_time: msgspec.Raw = ABSENT
    total_time_seconds: msgspec.Raw = ABSENT


_ENTRY = msgspec.json.Decoder(_Entry)


@dataclass(frozen=True, slots=True)
class RosterRow:
    """An enrollment as far as its detail tells it."""

    status: str
    progress: float | None
    enrolled_at: datetime | None
    completed_at: datetime | None
    seconds: int | None
    role: str | None


def read_entry(detail: bytes) -> RosterRow:
    """The first that fits: completed_on, expired_on, completion_status, any percentage or time; else enrolled."""
    entry = _ENTRY.decode(detail)
    completed_at, expired_at = _instant(entry.completed_on_timestamp), _instant(entry.expired_on_timestamp)
    progress, seconds = _number(entry.completion_percentage), _seconds(entry)
    told = (_text(entry.completion_status) or "").strip().lower()
    if completed_at is not None or _text(entry.completed_on):
        status = "completed"
    elif expired_at is not None or _text(entry.expired_on):
        status = "expired"
    elif told:
        status = _STATUSES.get(told, "unknown")
    else:
        status = "in_progress" if (progress or 0) > 0 or (seconds or 0) > 0 else "enrolled"
    return RosterRow(
        status, progress, _instant(entry.enrolled_on_timestamp), completed_at, seconds, _text(entry.role)
    )


def roster_batch(found: Sequence[Entry], fetched_at: Iterable[datetime]) -> pa.RecordBatch:
    """Rows of `unified_enrollments` with the source `roster`: what the details tell, and null for all else."""
    rows = [read_entry(entry.detail) for entry in found]
    count = len(rows)
    told: dict[str, Sequence[object]] = {
        "user_id": [entry.user_id for entry in found],
        "course_id": [entry.course_id for entry in found],
        "status": [row.status for row in rows],
        "progress_percent": [row.progress for row in rows],
        "enrolled_at": [row.enrolled_at for row in rows],
        "completed_at": [row.completed_at for row in rows],
        "time_spent_seconds": [row.seconds for row in rows],
        "role": [row.role for row in rows],
        "source": ["roster"] * count,
        "fetched_at": list(fetched_at),
    }
    schema = arrow_schema(UNIFIED_ENROLLMENTS)
    columns = {
        column.name: scalar_column(told[column.name], column.type)  # type: ignore[arg-type] # none of them is a list
        if column.name in told
        else pa.nulls(count, schema.field(column.name).type)
        for column in UNIFIED_ENROLLMENTS.columns
    }
    return table_batch(UNIFIED_ENROLLMENTS, columns)


def _seconds(entry: _Entry) -> int | None:
    if (exact := _number(entry.total_time_seconds)) is not None:
        return int(exact) if 0 <= exact <= MOST_SECONDS else None
    match = _DURATION.fullmatch((_text(entry.total_time) or "").strip())
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = hours * 3_600 + minutes * 60 + seconds
    return total if total <= MOST_SECONDS else None


def _instant(raw: msgspec.Raw) -> datetime | None:
    """An epoch in seconds, as text or number; null and `""` and 0 are none."""
    seconds = _number(raw)
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _number(raw: msgspec.Raw) -> float | None:
    try:
        value: float | None = coerce.read("double", raw) if raw is not ABSENT else None
    except coerce.Unreadable:
        return None
    return value


def _text(raw: msgspec.Raw) -> str | None:
    try:
        value: str | None = coerce.read("string", raw) if raw is not ABSENT else None
    except coerce.Unreadable:
        return None
    return value or None
