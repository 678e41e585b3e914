"""What an enrollment is known by, which decides what a duplicate is.

What belongs here: the two identities and their columns, as plain data.
"""

from __future__ import annotations

from typing import Literal

Identity = Literal["pair", "enrollment_id"]
"""Its learner and course, where the account is asked by pair; else its own id."""

KEYS: dict[Identity, tuple[str, ...]] = {
    "pair": ("user_id", "course_id"),
    "enrollment_id": ("enrollment_id",),
}
"""The columns of `unified_enrollments` that identify a row."""

ASKED_BY_PAIR = frozenset({"talentlms"})
"""Integrations whose enrollments are known by the pair."""


def identity_of(integration: str, chosen: Identity | None) -> Identity:
    """The identity of an account's enrollments: the pair for TalentLMS always, else as chosen."""
    if integration in ASKED_BY_PAIR:
        return "pair"
    return chosen or "enrollment_id"
