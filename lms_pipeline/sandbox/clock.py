"""The sandbox's clock: what its world takes for the present.

What belongs here: the clock alone. How the state of a world follows from an instant is the world's affair.
"""

from __future__ import annotations

from datetime import UTC, datetime


class Clock:
    """Stands still at the instant that was set last; goes with the real time while none is set."""

    def __init__(self, fixed: datetime | None = None) -> None:
        self.set(fixed)

    def now(self) -> datetime:
        """The present of the sandbox, in UTC."""
        return self._fixed or datetime.now(UTC)

    @property
    def is_fixed(self) -> bool:
        """Whether it stands still."""
        return self._fixed is not None

    def set(self, instant: datetime | None) -> None:
        """Stand still at `instant`, which is read as UTC where it is naive; None lets the clock go again."""
        self._fixed = None if instant is None else in_utc(instant)


def in_utc(instant: datetime) -> datetime:
    """The same instant in UTC; a naive one is taken to be in UTC already."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
