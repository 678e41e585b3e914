"""Which columns of `unified_enrollments` decide a figure, as the SQL in `sql/` has it.

What belongs here: the columns that go together, named by what they decide. Which of them a figure rests on stands
beside its meaning in `tables.py`; the tests change one column after the other and look which figures move.
"""

from __future__ import annotations

COUNTED = frozenset({"role", "assigned_at", "enrolled_at", "fetched_at"})
"""Whether an enrollment counts at all, and when it began: every figure rests on these."""

STATUS = COUNTED | {"status", "completed_at"}
"""The status at the end of the day, and whether and when it was completed."""

STARTED = STATUS | {"started_at", "progress_percent", "time_spent_seconds"}
"""Any sign of a start."""

LATEST = COUNTED | {"user_id", "course_id", "attempt_number", "enrollment_id"}
"""Which of a learner's enrollments in a course is the later one."""

PAIR = frozenset({"user_id", "course_id"})
"""Which enrollments are of one learner in one course."""

OPEN = STATUS | LATEST
"""Open, and not superseded."""

DUE = STATUS | {"due_at"}
"""Whether the due day has come, for who was not withdrawn."""

WITHDRAWN_IN_TIME = DUE | {"updated_at"}
"""The same for everybody: a withdrawal may have come before the due day."""

DROPPED = STARTED | WITHDRAWN_IN_TIME
"""Withdrawn before the start and in time: who is not is eligible."""

REQUIRED = OPEN | {"is_mandatory"}
"""Mandatory, and not superseded."""

ROLE = frozenset({"role"})
LEARNER = COUNTED | {"user_id"}
PROGRESS = STATUS | {"progress_percent"}
SCORE = COUNTED | {"score"}
TIME = COUNTED | {"time_spent_seconds"}
SOURCE = COUNTED | {"source"}
DATES = COUNTED | {"started_at", "completed_at", "last_activity_at", "created_at", "updated_at"}
