"""Ratios of paired rounds: their median, their spread, and whether a limit is met.

Belongs here: arithmetic, without a measurement. Absolute times differ by 20% between minutes on the same machine; two sides
that run in turn differ alike, so each round gives a ratio of its own.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_SPREAD = 0.25
"""Of the median. A larger spread of the middle half of the rounds is too noisy to believe."""

Verdict = Literal["met", "missed", "too noisy"]


def compute_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each round."""
    return tuple(above / below for above, below in zip(numerators, denominators, strict=True))


def compute_spread(values: Sequence[float]) -> float:
    """Return the range of the middle half of the values as a share of their median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / abs(median) if median else float("inf") if high > low else 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure should reach: at most the value, or at least."""

    value: float
    is_upper: bool = True

    def is_met_by(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return value <= self.value if self.is_upper else value >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.is_upper else '>='} {self.value:,g}"


@dataclass(frozen=True, slots=True)
class Row:
    """A figure that is judged, with its value in each round."""

    name: str
    values: tuple[float, ...]
    limit: Limit
    unit: str = "x"

    @property
    def median(self) -> float:
        """The figure of the run."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """See `compute_spread`."""
        return compute_spread(self.values)

    @property
    def is_noisy(self) -> bool:
        """Whether the rounds differ too much for the median to say anything."""
        return self.spread > MAX_SPREAD

    def judge(self) -> Verdict:
        """Return whether the limit is met. Noisy rounds say it too, if all are on the same side of the limit."""
        met = [self.limit.is_met_by(value) for value in self.values]
        if self.is_noisy and len(set(met)) > 1:
            return "too noisy"
        return "met" if self.limit.is_met_by(self.median) else "missed"
