"""Every documented field of an enrollment, and the column that it fills, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lms_pipeline.tables.pulled import ALL_FIELDS, ENROLLMENT_LIST, UNIFIED_ENROLLMENTS, enrollment_fields
from lms_pipeline.transform.shapes import ENROLLMENT, Object
from lms_pipeline_tests.support.served_records import MINIMAL, flatten, flatten_row

SOME_DAY = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
WORK = {"email": "ann@example.org", "is_primary": True, "type": "work"}

COLUMNS: list[tuple[str, Any, str, Any]] = [
    ("id", "e7", "enrollment_id", "e7"),
    ("assigned_by.id", "u9", "assigned_by_id", "u9"),
    ("assigned_by.name", "Zoë", "assigned_by_name", "Zoë"),
    ("attempt_number", 2, "attempt_number", 2),
    ("attempts_count", 3, "attempts_count", 3),
    ("course.id", "c7", "course_id", "c7"),
    ("course.title", "Safety", "course_title", "Safety"),
    ("custom_fields", {"a": [1]}, "custom_fields", '{"a": [1]}'),
    ("is_mandatory", True, "is_mandatory", True),
    ("progress_percent", 62.5, "progress_percent", 62.5),
    ("score", 81.5, "score", 81.5),
    ("status", "Passed", "status", "passed"),
    ("status", "Passed", "status_raw", "Passed"),
    ("time_spent_seconds", 3600, "time_spent_seconds", 3600),
    ("urls", [{"type": "web", "url": "https://x"}], "urls", [{"type": "web", "url": "https://x"}]),
    ("user.id", "u7", "user_id", "u7"),
    ("user.name", "Ann", "user_name", "Ann"),
    ("user.emails", [WORK], "user_email", "ann@example.org"),
    ("user.emails", [WORK], "user_emails", [WORK]),
    *(
        (name, "2026-02-03T04:05:06Z", name, SOME_DAY)
        for name in (
            *("assigned_at", "completed_at", "created_at", "due_at"),
            *("enrolled_at", "last_activity_at", "started_at", "updated_at"),
        )
    ),
]


def build_record(path: str, value: Any) -> dict[str, Any]:
    """Return the minimal record with one field added or replaced."""
    name, _, inner = path.partition(".")
    return MINIMAL | {name: {**MINIMAL.get(name, {}), inner: value} if inner else value}


@pytest.mark.parametrize(("path", "value", "column", "expected"), COLUMNS, ids=lambda one: str(one)[:30])
def test_a_documented_field_fills_its_column(path, value, column, expected):
    assert flatten_row(build_record(path, value))[column] == expected


def test_every_documented_field_is_tested():
    tested = {path for path, *_ in COLUMNS}
    leaves = set()
    for name, kind in ENROLLMENT.record.fields.items():
        leaves |= {f"{name}.{inner}" for inner in kind.fields} if isinstance(kind, Object) else {name}
    assert tested == leaves - {"remote_data"}


def test_every_column_that_a_documented_field_fills_is_tested():
    tested = {column for _, _, column, _ in COLUMNS}
    undocumented = enrollment_fields("remote_data", ALL_FIELDS)  # of `role` and `extra`
    filled = {
        column.name
        for column in UNIFIED_ENROLLMENTS.columns
        if any(source.startswith(f"{ENROLLMENT_LIST}.") for source in column.sources - undocumented)
    }
    assert tested == filled


def test_remote_data_is_the_payload_of_the_raw_row():
    batches, _ = flatten(MINIMAL | {"remote_data": {"pct": "62"}})
    assert batches.raw.to_pylist()[0]["payload"] == '{"pct": "62"}'
