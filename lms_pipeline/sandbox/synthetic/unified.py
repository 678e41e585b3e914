"""The unified objects as Truto maps them; what isn't known is left out.

What belongs here: the fields of the API's page, in its order. Which of them an account fills is up to its dialect.
"""

from __future__ import annotations

import msgspec

from lms_pipeline.sandbox.synthetic.people import Email


class UnifiedUser(msgspec.Struct, omit_defaults=True):
    """A user, in a list or inside an enrollment."""

    id: str
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    emails: tuple[Email, ...] | None = None
    status: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class UnifiedCourse(msgspec.Struct, omit_defaults=True):
    """A course, in a list or inside an enrollment."""

    id: str
    title: str | None = None
    status: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class UnifiedEnrollment(msgspec.Struct, omit_defaults=True, gc=False):
    """An enrollment; what is the same for every enrollment of a learner or course is encoded beforehand."""

    id: str
    user: msgspec.Raw
    course: msgspec.Raw
    status: str
    assigned_at: str | None = None
    assigned_by: msgspec.Raw | None = None
    attempt_number: int | None = None
    attempts_count: int | None = None
    completed_at: str | None = None
    created_at: str | None = None
    custom_fields: msgspec.Raw | None = None
    due_at: str | None = None
    enrolled_at: str | None = None
    is_mandatory: bool | None = None
    last_activity_at: str | None = None
    progress_percent: float | None = None
    score: float | None = None
    started_at: str | None = None
    time_spent_seconds: int | None = None
    updated_at: str | None = None
    urls: msgspec.Raw | None = None


encode = msgspec.json.Encoder().encode


def encoded(value: object) -> msgspec.Raw:
    """JSON to be put into other JSON as it is."""
    return msgspec.Raw(encode(value))
