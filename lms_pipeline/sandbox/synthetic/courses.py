"""The courses of a company.

What belongs here: what there is to learn, and how it tends to go. Who takes it is `company.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from random import Random

Kind = Literal["yearly", "onboarding", "programme", "elective"]


class Course(msgspec.Struct, frozen=True):
    """A course; `number` is its place in the company's list."""

    number: int
    title: str
    kind: Kind
    created_at: int
    finish_rate: float
    """The share of those who begin that finish."""
    hours: float
    """Time that it takes in all, in the middle."""
    days: float
    """Days from the first session to the last, in the middle."""
    has_exam: bool
    units: int

    @property
    def is_mandatory(self) -> bool:
        """Whether people are told to take it, until some day."""
        return self.kind == "yearly"


class _Habit(msgspec.Struct, frozen=True):
    finish_rate: tuple[float, float]
    hours: tuple[float, float]
    days: tuple[float, float]
    exams: float


_HABITS: dict[Kind, _Habit] = {
    "yearly": _Habit(finish_rate=(0.84, 0.98), hours=(0.5, 2), days=(0.2, 4), exams=0.7),
    "onboarding": _Habit(finish_rate=(0.9, 0.99), hours=(1, 4), days=(3, 14), exams=0.2),
    "programme": _Habit(finish_rate=(0.55, 0.85), hours=(30, 80), days=(60, 85), exams=1),
    "elective": _Habit(finish_rate=(0.3, 0.8), hours=(1, 12), days=(5, 45), exams=0.3),
}


def draw_course(draw: Random, number: int, title: str, kind: Kind, created_at: int) -> Course:
    """A course of its kind, with habits of its own."""
    habit = _HABITS[kind]
    return Course(
        number=number,
        title=title,
        kind=kind,
        created_at=created_at,
        finish_rate=draw.uniform(*habit.finish_rate),
        hours=draw.uniform(*habit.hours),
        days=draw.uniform(*habit.days),
        has_exam=draw.random() < habit.exams,
        units=draw.randint(3, 6),
    )
