"""What a snapshot was taken under, kept beside its answers: so that it can be made again from them as it was made.

What belongs here: what decides about a snapshot and isn't in its order's plan. Answers are `pull/answers.py`.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from lms_pipeline.extract.strategies import StrategyName
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.snapshot.job import Order


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """As they were when the strategy was chosen."""

    run_id: str
    strategy: StrategyName
    why: str
    is_settled: bool
    may_carry: bool
    rotation_days: int
    has_before: bool = False
    """Whether there was a snapshot to carry over from."""

    @classmethod
    def of(cls, order: Order, choice: Choice, *, has_before: bool = False) -> Circumstances:
        """Those of a snapshot that is being taken."""
        return cls(
            run_id=order.run_id,
            strategy=choice.name,
            why=choice.why,
            is_settled=choice.is_settled,
            may_carry=order.may_carry,
            rotation_days=order.options.rotation_days,
            has_before=has_before,
        )

    def applied_to(self, order: Order) -> Order:
        """The order as it was then."""
        return replace(
            order,
            remembered=Choice(self.strategy, self.why, self.is_settled),
            may_carry=self.may_carry,
            options=msgspec.structs.replace(order.options, rotation_days=self.rotation_days),
        )

    def written(self) -> str:
        """As JSON."""
        return msgspec.json.encode(self).decode()


def read_circumstances(told: str | None) -> Circumstances | None:
    """Those that were written; None where there are none, or others than this version writes."""
    try:
        return None if told is None else msgspec.json.decode(told, type=Circumstances)
    except msgspec.DecodeError:
        return None
