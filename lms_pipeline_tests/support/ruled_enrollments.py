"""Enrollments under rules for courses, from a few words each, and the figures of them that a test compares.

The day is 2026-03-31 in UTC unless the test says otherwise, and the pull is at its end.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from lms_pipeline.accounts.rules import Rule
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Compute = Callable[..., dict[str, Any]]

DUE_PARTS = ("n_due", "n_on_time", "n_late", "n_due_undated", "n_due_open", "n_overdue")


def at(text: str) -> datetime:
    """Return an instant in UTC; a date is noon, since 00:00 UTC is a date without a time zone."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def enrollment(user_id: str, status: str, course_id: str = "c1", **more: Any) -> dict[str, Any]:
    moments = {name: at(text) for name, text in more.items() if name.endswith("_at")}
    return {"user_id": user_id, "status": status, "course_id": course_id, **more, **moments}


def rule(**keys: Any) -> Rule:
    where: dict[str, Any] = {} if "title" in keys else {"course": "c1"}
    return Rule(account="acme", **where, **keys)


def pick(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def build_compute(folder: Path) -> Compute:
    """Return a function that returns the figures of the account, or of a course, of enrollments under rules."""

    def compute(
        rows: list[dict[str, Any]], *rules: Rule, course: str | None = None, day: str = "2026-03-31", **options: Any
    ) -> dict[str, Any]:
        fetched_at = datetime.fromisoformat(f"{day}T23:59:59").replace(tzinfo=UTC)
        path = write(folder / "data.parquet", [{"fetched_at": fetched_at, **row} for row in rows])
        numbered = dict(enumerate(rules, 1))
        file = enrollments_file(path, date.fromisoformat(day), rules=numbered, **options)
        found = compute_rows(ACCOUNT_COMPLETION if course is None else COURSE_COMPLETION, file)
        [row] = [row for row in found if course in {None, row.get("course_id")}]
        return row

    return compute
