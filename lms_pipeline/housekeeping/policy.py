"""Retention rules: how long each kind of item is kept.

Belongs here: decisions by days and ages, and sums for reports. Not here: access to the disk (`cleanup.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import choose_form
from lms_pipeline.lake.lock import ABANDONED_AFTER
from lms_pipeline.lake.paths import Partition
from lms_pipeline.storage.disk import format_bytes

UNUSED_AFTER = timedelta(days=30)
"""Time without a call after which a call counter expires. A counter only looks back one hour."""

Kind = Literal[
    "answers",
    "details",
    "rejected payloads",
    "unpublished files",
    "folders of pulls",
    "call counters",
    "temporary folders",
    "empty folders",
    "run logs",
    "run locks",
]
"""What an item is. The job plots figures under these names: `answers` are responses, `details` roster fingerprints."""


@dataclass(frozen=True, slots=True)
class ExpiredItem:
    """A file or folder to remove. Of `rejected payloads` the file stays, with empty payloads."""

    kind: Kind
    path: Path
    bytes: int
    """Bytes that the removal frees."""
    partition: Partition | None = None
    """The partition whose lock the removal needs; None if it needs no lock."""
    address: str = ""
    """Where it is kept, if that is not the path: in a bucket."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.address or str(self.path)

    def __str__(self) -> str:
        """Return one line of a list."""
        return f"{self.kind}: {self.place} ({format_bytes(self.bytes)})"


def sum_by_kind(items: Iterable[ExpiredItem]) -> dict[Kind, tuple[int, int]]:
    """Return the number of items and their bytes by kind."""
    totals: dict[Kind, tuple[int, int]] = {}
    for item in items:
        count, size = totals.get(item.kind, (0, 0))
        totals[item.kind] = count + 1, size + item.bytes
    return totals


def format_totals(items: Iterable[ExpiredItem]) -> str:
    """Return totals like `31 answers (1.2 MB), 2 details (14.0 KB)`."""
    parts = [
        f"{count:,} {_format_kind(kind, count)} ({format_bytes(size)})"
        for kind, (count, size) in sum_by_kind(items).items()
    ]
    return ", ".join(parts) or "nothing"


def _format_kind(kind: Kind, count: int) -> str:
    """Return the kind, in the singular for one item: its first word ends with the plural, or its last."""
    noun, of, rest = kind.partition(" of ")
    return choose_form(count, f"{noun.removesuffix('s')}{of}{rest}", kind)


def find_first_kept_day(today: date, days: int) -> date:
    """Return the first of the last `days` days before `today`, or the calendar's first day if that is later."""
    return today - timedelta(days=min(days, today.toordinal() - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What is kept at one instant."""

    today: date
    """The latest ended day. Days are counted back from it."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The clock, which file ages are measured against. `LMS_NOW` does not change it."""
    answer_days: Mapping[str, int] = field(default_factory=dict)
    """The option `answer_days` by account id; other accounts have the default of the option."""
    former_accounts: Collection[str] = ()
    """Ids of the accounts that were removed or are gone."""
    rejected_days: int = 0
    """Days for which payloads of rejected records are kept; 0 means forever."""

    def keeps_responses(self, account_id: str, day: date) -> bool:
        """Return whether a day can still be replayed from its responses. The latest ended day always can."""
        days = max(1, self.answer_days.get(account_id, AccountOptions().answer_days))
        return day >= find_first_kept_day(self.today, days)

    def keeps_roster_fingerprints(self, account_id: str, day: date, *, is_latest: bool) -> bool:
        """Return whether a fetch plan may need these fingerprints.

        The account's next pull carries enrollments over by the latest ones, however long it takes until then.
        """
        return (is_latest and account_id not in self.former_accounts) or self.keeps_responses(account_id, day)

    @property
    def first_day_with_payloads(self) -> date | None:
        """The first day whose rejected payloads are kept; None if all are."""
        return find_first_kept_day(self.today, self.rejected_days) if self.rejected_days else None

    def is_abandoned(self, changed_at: datetime) -> bool:
        """Return whether no run can still use a file of a pull."""
        return self.now - changed_at > ABANDONED_AFTER

    def is_unused(self, changed_at: datetime) -> bool:
        """Return whether a call counter has expired."""
        return self.now - changed_at > UNUSED_AFTER
