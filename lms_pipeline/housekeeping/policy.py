"""How long things are kept.

What belongs here: deciding by days and ages, without looking at the disk. What stands there is `planning.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from lms_pipeline.lake.disk import format_bytes
from lms_pipeline.lake.paths import Partition

Kind = Literal[
    "answers",
    "details",
    "rejected payloads",
    "unpublished files",
    "folders of pulls",
    "call counters",
    "run logs",
]


@dataclass(frozen=True, slots=True)
class ExpiredItem:
    """A file or folder that is past its time; of `rejected payloads` the file stays, without them."""

    kind: Kind
    path: Path
    bytes: int
    """What is gained."""
    partition: Partition | None = None
    """Whose it is, where it takes the lock of its pull to touch it."""

    def __str__(self) -> str:
        """For lists."""
        return f"{self.kind}: {self.path} ({format_bytes(self.bytes)})"


def totals(due: Iterable[ExpiredItem]) -> dict[Kind, tuple[int, int]]:
    """How many there are of each kind, and their bytes."""
    counts: Counter[Kind] = Counter()
    sizes: Counter[Kind] = Counter()
    for one in due:
        counts[one.kind] += 1
        sizes[one.kind] += one.bytes
    return {kind: (count, sizes[kind]) for kind, count in counts.items()}


def format_totals(due: Iterable[ExpiredItem]) -> str:
    """As `31 answers (1.2 MB), 2 details (14.0 KB)`."""
    told = [f"{count:,} {kind} ({format_bytes(size)})" for kind, (count, size) in totals(due).items()]
    return ", ".join(told) or "nothing"


ANSWER_DAYS = 30
"""For accounts without an option of their own."""
OVER_AFTER = timedelta(days=2)
"""Without a change, after which nobody can be at what a pull writes: it may take a day, `max_hours`."""
UNUSED_AFTER = timedelta(days=30)
"""Without a call, after which the counter of an account's or token's calls, which looks back an hour, goes."""


def first_kept(today: date, days: int) -> date:
    """The first of so many days up to today; the first there is where they reach beyond it."""
    return today - timedelta(days=min(days, today.toordinal() - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What is kept, at one instant."""

    today: date
    """The latest day that ended: days are counted back from it."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """By the clock, as ages of files are, whatever stands for the present."""
    answer_days: Mapping[str, int] = field(default_factory=dict)
    """Days for which an account's answers are kept, where they are not `ANSWER_DAYS`."""
    left: Collection[str] = ()
    """The accounts that were removed, or are gone."""
    rejected_days: int = 0
    """Days for which the payloads of rejected records are kept; 0 is for ever."""

    def keeps_answers(self, account_id: str, day: date) -> bool:
        """Whether a day can still be flattened again from its answers; the last one always can."""
        return day >= first_kept(self.today, max(1, self.answer_days.get(account_id, ANSWER_DAYS)))

    def keeps_details(self, account_id: str, day: date, *, is_latest: bool) -> bool:
        """Whether a plan may need them: the latest are what the account's next pull, whenever it is, carries over by."""
        return (is_latest and account_id not in self.left) or self.keeps_answers(account_id, day)

    def keeps_payloads(self, day: date) -> bool:
        """Whether what was rejected on a day is still of use to somebody who looks for the reason."""
        return not self.rejected_days or day >= first_kept(self.today, self.rejected_days)

    def is_over(self, changed_at: datetime) -> bool:
        """Whether nobody can be at it any more."""
        return self.now - changed_at > OVER_AFTER

    def is_unused(self, changed_at: datetime) -> bool:
        """Whether nobody has called for so long."""
        return self.now - changed_at > UNUSED_AFTER
