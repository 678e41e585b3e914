"""Every check of a snapshot, and the tables that it looks at.

What belongs here: the list. What a check looks at stands in the module of its kind; those of all accounts together are in
`fleet.py`.
"""

from __future__ import annotations

from lms_pipeline.checks.base import Subject
from lms_pipeline.checks.content import agrees_with_raw, few_are_rejected, roles_are_known, statuses_are_known
from lms_pipeline.checks.finding import Check
from lms_pipeline.checks.metrics import parts_sum, rates_are_shares
from lms_pipeline.checks.pulling import few_are_told_by_others, pulled_in_time, row_drop, there_is_room
from lms_pipeline.checks.snapshot import is_complete, key_is_unique, schema, served_is_stored
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import (
    COURSES,
    LEARNERS,
    RAW_ENROLLMENTS,
    REJECTED_ENROLLMENTS,
    UNIFIED_ENROLLMENTS,
)

UNIFIED = (UNIFIED_ENROLLMENTS,)
OTHERS = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES)

PULL_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, (UNIFIED_ENROLLMENTS, *OTHERS), blocks=True),
    Check(key_is_unique, (UNIFIED_ENROLLMENTS, LEARNERS, COURSES), blocks=True),
    Check(served_is_stored, UNIFIED),
    Check(agrees_with_raw, UNIFIED),
    Check(is_complete, UNIFIED, is_grave=False),
    Check(row_drop, UNIFIED, is_grave=False),
    Check(statuses_are_known, UNIFIED, is_grave=False),
    Check(roles_are_known, UNIFIED, is_grave=False),
    Check(few_are_told_by_others, UNIFIED, is_grave=False),
    Check(pulled_in_time, UNIFIED, is_grave=False),
    Check(there_is_room, UNIFIED, is_grave=False),
    Check(few_are_rejected, (REJECTED_ENROLLMENTS,), is_grave=False),
)
"""Of what a pull brought."""

METRICS = (ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION)

METRIC_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, METRICS),
    Check(key_is_unique, (COURSE_COMPLETION, LEARNER_COMPLETION)),
    Check(rates_are_shares, METRICS),
    Check(parts_sum, METRICS),
)
"""Of what was worked out from it."""
