"""The enrollments, users and courses of the benchmarks' account, the same in every run.

Belongs here: what a record holds. Not here: pages and files (`pages.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

NOW = datetime(2025, 6, 30, tzinfo=UTC)
"""Nothing happens later."""
BLOCK_ROWS, BLOCK_LEARNERS = 2_000, 200
"""Enrollments come in blocks of 2,000 of 200 learners, ten courses each: any number of blocks is a whole account."""
COURSES = 400
MARK = "000-"
"""What the ids of enrollments and users begin with; the server numbers repeated blocks here."""
FIRST_NAMES = (
    "Ada",
    "Chloé",
    "Dmitri",
    "Eun-ji",
    "Fatima",
    "Giovanni",
    "Håkon",
    "Inês",
    "Łukasz",
    "Mei",
    "Søren",
    "Tomás",
)
LAST_NAMES = (
    "Abe",
    "Brandt",
    "Costa",
    "Dvořák",
    "Evans",
    "Fischer",
    "García",
    "Jensen",
    "Kowalski",
    "Müller",
    "O'Brien",
)
TOPICS = ("Safety", "Data protection", "Negotiation", "First aid", "Python", "Leadership", "Accounting", "Service")
STATUSES = {
    "completed": 35,
    "in_progress": 22,
    "enrolled": 15,
    "passed": 8,
    "failed": 5,
    "expired": 4,
    "withdrawn": 4,
    "assigned": 4,
    "overdue": 3,
}
"""Statuses by their share in percent."""
NOT_STARTED = {"enrolled", "assigned"}

Json = dict[str, Any]


class Block(NamedTuple):
    """A part of an account."""

    users: list[Json]
    """With all members, as the list of users has them."""
    enrollments: list[Json]
    """Without raw data."""
    raw: list[Json]
    """The raw data of each enrollment."""


def build_courses() -> list[Json]:
    """Return the courses, as the list of courses has them."""
    return [{**_build_course(number), **_build_list_members()} for number in range(COURSES)]


def build_block(number: int) -> Block:
    """Return a block of an account; equal numbers give equal blocks."""
    choose = random.Random(number)  # noqa: S311 (the same data in every run)
    users = [_build_user(number * BLOCK_LEARNERS + index, choose) for index in range(BLOCK_LEARNERS)]
    pairs = [(user, course) for user in users for course in choose.sample(range(COURSES), BLOCK_ROWS // BLOCK_LEARNERS)]
    choose.shuffle(pairs)
    first = number * BLOCK_ROWS
    built = [_build_enrollment(first + index, user, course, choose) for index, (user, course) in enumerate(pairs)]
    return Block(
        [{**user, **_build_list_members(), "role": "learner"} for user in users],
        [enrollment for enrollment, _ in built],
        [raw for _, raw in built],
    )


def _build_list_members() -> Json:
    return {"status": "active", "created_at": "2023-01-01T00:00:00.000Z", "updated_at": "2024-01-01T00:00:00.000Z"}


def _build_user(number: int, choose: random.Random) -> Json:
    return {
        "id": f"{MARK}u{number:06}",
        "name": f"{choose.choice(FIRST_NAMES)} {choose.choice(LAST_NAMES)}",
        "emails": [{"email": f"learner{number}@example.org", "is_primary": True, "type": "work"}],
    }


def _build_course(number: int) -> Json:
    return {"id": str(1_000 + number), "title": f"{TOPICS[number % len(TOPICS)]} {number // len(TOPICS) + 1}"}


def _build_enrollment(number: int, user: Json, course: int, choose: random.Random) -> tuple[Json, Json]:
    """Return an enrollment of about 520 bytes, and its raw data of about 430."""
    (status,) = choose.choices(list(STATUSES), list(STATUSES.values()))
    enrolled = NOW - timedelta(seconds=choose.randrange(86_400, 400 * 86_400))
    active = enrolled + (NOW - enrolled) * choose.random()
    has_started, is_mandatory = status not in NOT_STARTED, course % 10 < 4
    has_completed = status in {"completed", "passed", "failed"} or (status == "expired" and number % 2 == 0)
    completed = active.replace(microsecond=0) if has_completed else None
    progress = 100 if status in {"completed", "passed"} else choose.randrange(1, 99) if has_started else 0
    seconds = choose.randrange(60, 40_000) if has_started else 0
    has_score = status in {"completed", "passed", "failed"} and choose.random() < 0.6
    enrollment: Json = {
        "id": f"{MARK}e{number:07}",
        "user": user,
        "course": _build_course(course),
        "status": status,
        "progress_percent": float(progress),
        "score": round(choose.uniform(40, 100), 2) if has_score else None,
        "is_mandatory": is_mandatory,
        "enrolled_at": _format_instant(enrolled),
        "completed_at": _format_instant(completed),
        "due_at": _format_instant((enrolled + timedelta(days=60)).replace(hour=0, minute=0, second=0))
        if is_mandatory
        else None,
        "last_activity_at": _format_instant(active if has_started else None),
        "created_at": _format_instant(enrolled),
        "updated_at": _format_instant(active),
        "time_spent_seconds": seconds,
    }
    raw = {
        "id": str(1_000 + course),
        "name": enrollment["course"]["title"],
        "role": "instructor" if choose.random() < 0.02 else "learner",
        "enrolled_on": f"{enrolled:%d/%m/%Y, %H:%M:%S}",
        "enrolled_on_timestamp": str(int(enrolled.timestamp())),
        "completed_on": f"{completed:%d/%m/%Y, %H:%M:%S}" if completed else "",
        "completed_on_timestamp": str(int(completed.timestamp())) if completed else None,
        "completion_status": "completed" if progress == 100 else "incomplete" if has_started else "not_attempted",
        "completion_percentage": str(progress),
        "expired_on": "",
        "expired_on_timestamp": None,
        "total_time": f"{seconds // 3600}h {seconds // 60 % 60}m {seconds % 60}s",
        "total_time_seconds": seconds,
        "last_accessed_unit_url": f"https://portal.example.org/unit/{choose.randrange(10**6)}",
    }
    return enrollment, raw


def _format_instant(instant: datetime | None) -> str | None:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.000Z" if instant else None


def iterate_blocks(rows: int) -> Iterator[Block]:
    """Yield the blocks of an account of this many enrollments, a multiple of `BLOCK_ROWS`."""
    return map(build_block, range(rows // BLOCK_ROWS))
