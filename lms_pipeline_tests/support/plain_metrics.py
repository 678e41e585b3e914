"""The completion figures in plain Python, set by set, written from the definitions and not from the SQL.

Belongs here: a second, slow implementation of the figures, for comparison over generated enrollments. `Sets` holds each
set as the positions of its enrollments; `figures` computes a row of a table from a group of them.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LONG_AGO = datetime.min.replace(tzinfo=UTC)
PAST_DATES = (
    "assigned_at", "enrolled_at", "started_at", "completed_at", "last_activity_at", "created_at", "updated_at",
)  # fmt: skip
STATUSES = (
    "assigned", "enrolled", "in_progress", "completed", "passed", "failed", "withdrawn", "expired", "overdue", "unknown",
)  # fmt: skip
OPEN = {"assigned", "enrolled", "in_progress", "overdue"}
NO_DATES_BEFORE = datetime(1980, 1, 1, tzinfo=UTC)
EXCLUDED = {"instructor", "teacher", "trainer", "admin", "observer"}
LEARNING = {"learner", "student", "trainee", "participant", "user"}


class Sets:
    """An account's enrollments at the end of `day`, and the sets that they are in, as sets of positions."""

    def __init__(self, rows: list[dict[str, Any]], day: date, zone: str) -> None:
        self.day = day
        self.zone = ZoneInfo(zone)
        self.faulty_dates: Counter[int] = Counter()
        self.sentinel_dates: Counter[int] = Counter()
        self.rows = [self._without_faulty_dates(position, row) for position, row in enumerate(rows)]
        self.by_role = self._where(lambda r: (r["role"] or "").strip().lower() in EXCLUDED)
        began_later = self._where(lambda r: self._later(r["began"])) - self.by_role
        completed_later = self._where(lambda r: self._later(r["completed_at"])) - self.by_role
        self.after_day = began_later | completed_later
        for position in completed_later:
            self.rows[position] |= {"status": "in_progress", "completed_at": None}
        self.all = set(range(len(rows))) - self.by_role - began_later
        self.sets = self._sets()

    def _where(self, holds: Callable[[dict[str, Any]], object]) -> set[int]:
        return {position for position, row in enumerate(self.rows) if holds(row)}

    def _later(self, moment: datetime | None) -> bool:
        day = self.on(moment)
        return day is not None and day > self.day

    def _without_faulty_dates(self, position: int, row: dict[str, Any]) -> dict[str, Any]:
        row = dict(row)
        for name in (*PAST_DATES, "due_at"):
            if row[name] is not None and row[name] < NO_DATES_BEFORE:
                row[name] = None
                self.sentinel_dates[position] += 1
        for name in PAST_DATES:
            if row[name] is not None and row[name] > row["fetched_at"] and not self._is_date_of_fetch(row, name):
                row[name] = None
                self.faulty_dates[position] += 1
        row["began"] = row["enrolled_at"] or row["assigned_at"]
        return row

    def _is_date_of_fetch(self, row: dict[str, Any], name: str) -> bool:
        """Return whether it is a date without a time, and had begun in the zone when the row was fetched."""
        utc: datetime = row[name].astimezone(UTC)
        fetched: datetime = row["fetched_at"].astimezone(self.zone)
        return utc.time() == time.min and utc.date() <= fetched.date()

    def on(self, moment: datetime | None) -> date | None:
        if moment is None:
            return None
        utc = moment.astimezone(UTC)
        return utc.date() if utc.time() == time.min else moment.astimezone(self.zone).date()

    def _superseded(self) -> set[int]:
        def rank(position: int) -> tuple[date, datetime, int, str]:
            row = self.rows[position]
            began = row["began"]
            day = self.on(began) or date.min
            return day, began or LONG_AGO, row["attempt_number"] or 0, row["enrollment_id"] or ""

        def pair(position: int) -> tuple[str, str]:
            return self.rows[position]["user_id"], self.rows[position]["course_id"]

        return {p for p in self.all for q in self.all if pair(p) == pair(q) and rank(q) > rank(p)}

    def _sets(self) -> dict[str, set[int]]:
        def status(*names: str) -> set[int]:
            return self.all & self._where(lambda r: r["status"] in names)

        def has(name: str) -> set[int]:
            return self.all & self._where(lambda r: r[name] is not None)

        due_day = [self.on(row["due_at"]) for row in self.rows]
        s = {"all": self.all, "superseded": self._superseded()}
        s["completed"] = status("completed", "passed")
        s["ever_completed"] = s["completed"] | (has("completed_at") - status("failed"))
        s["lapsed"] = s["ever_completed"] & status("expired")
        s["timed_out"] = status("expired") - s["lapsed"]
        s["finished"] = status("completed", "passed", "failed")
        moved = self.all & self._where(lambda r: (r["progress_percent"] or 0) > 0 or (r["time_spent_seconds"] or 0) > 0)
        s["started"] = has("started_at") | has("completed_at") | moved | s["finished"] | status("in_progress")
        s["open"] = status(*OPEN)
        s["open_started"] = s["open"] & s["started"]
        s["not_started"] = s["open"] - s["started"]

        dated = {p for p in self.all if due_day[p] is not None}
        come = {p for p in dated if (due_day[p] or date.max) <= self.day}
        in_time = {
            p
            for p in dated & has("updated_at") & status("withdrawn")
            if (due_day[p] or date.max) >= (self.on(self.rows[p]["updated_at"]) or date.max)
        }
        s["dropped_early"] = (status("withdrawn") - s["started"]) & ((self.all - come) | in_time)
        s["eligible"] = self.all - s["dropped_early"]
        s["due"] = come - in_time
        done = (s["due"] & s["ever_completed"]) - s["open"]
        s["due_undated"] = done - has("completed_at")
        s["late"] = {
            p
            for p in done & has("completed_at")
            if (self.on(self.rows[p]["completed_at"]) or date.min) > (due_day[p] or date.max)
        }
        s["on_time"] = done - s["due_undated"] - s["late"]
        s["due_open"] = s["due"] & s["open"]
        for name in ("failed", "withdrawn", "expired", "unknown"):
            s[f"due_{name}"] = (s["due"] & status(name)) - s["ever_completed"]
        s["overdue"] = ((s["open"] & s["due"]) | status("overdue")) - s["superseded"]
        mandatory = (self.all & self._where(lambda r: r["is_mandatory"])) - s["superseded"]
        s["mandatory_withdrawn"] = mandatory & status("withdrawn")
        s["required"] = mandatory - status("withdrawn")
        s["required_not_due"] = s["required"] & s["open"] & (dated - come) - status("overdue")
        return s | {"withdrawn": status("withdrawn"), "dated": dated}


def pairs(sets: Sets, positions: Iterable[int]) -> set[tuple[str, str]]:
    return {(sets.rows[p]["user_id"], sets.rows[p]["course_id"]) for p in positions}


def people(sets: Sets, positions: Iterable[int]) -> set[str]:
    return {sets.rows[p]["user_id"] for p in positions}


def rates(sets: Sets, group: set[int]) -> dict[str, tuple[int, int]]:
    """Return numerator and denominator of each rate over the enrollments of `group`."""
    s = {name: positions & group for name, positions in sets.sets.items()}
    open_dated = (s["open"] & s["dated"]) - s["superseded"]
    compliant = people(sets, s["required"]) - people(sets, s["required"] - s["completed"])
    sized = {
        "completion_rate": (s["completed"], s["all"]),
        "completion_rate_eligible": (s["completed"], s["eligible"]),
        "completion_rate_started": (s["completed"], s["started"]),
        "ever_completion_rate": (s["ever_completed"], s["eligible"]),
        "start_rate": (s["started"] & s["eligible"], s["eligible"]),
        "pass_rate": (s["completed"], s["finished"]),
        "withdrawal_rate": (s["withdrawn"], s["all"]),
        "on_time_rate": (s["on_time"], s["due"]),
        "overdue_rate": (s["overdue"] & s["dated"], open_dated),
        "compliance_rate": (s["required"] & s["completed"], s["required"]),
    }
    return {name: (len(num), len(den)) for name, (num, den) in sized.items()} | {
        "learner_completion_rate": (len(pairs(sets, s["ever_completed"])), len(pairs(sets, s["eligible"]))),
        "learner_compliance_rate": (len(compliant), len(people(sets, s["required"]))),
    }


def sources(sets: Sets, group: set[int]) -> dict[str, object]:
    """Return whose values the figures rest on, in an account without rules: all are those of the LMS."""
    knows = known(sets)
    has = {name: any(sets.rows[p][name] is not None for p in group) for name in ("due_at", "is_mandatory")}
    return {
        "due_source": "lms" if has["due_at"] else None,
        "mandatory_source": "lms" if has["is_mandatory"] else None,
        "n_due_by_rule": 0 if knows["due"] else None,
        "n_required_by_rule": 0 if knows["mandatory"] else None,
    }


def known(sets: Sets) -> dict[str, bool]:
    rows = [sets.rows[p] for p in sets.all]
    return {
        "due": any(r["due_at"] is not None or r["status"] == "overdue" for r in rows),
        "mandatory": any(r["is_mandatory"] is not None for r in rows),
        "score": any(r["score"] is not None for r in rows),
        "time": any(r["time_spent_seconds"] is not None for r in rows),
    }


def percentile(values: list[int], share: float) -> float | None:
    if not values:
        return None
    values = sorted(values)
    position = share * (len(values) - 1)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (position - below) * (values[above] - values[below])


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def other_figures(sets: Sets, group: set[int]) -> dict[str, object]:
    """Return the figures other than counts and rates."""
    rows = [sets.rows[p] for p in sorted(group)]
    ever = [sets.rows[p] for p in sorted(group & sets.sets["ever_completed"])]
    recent = {sets.day - timedelta(days=back) for back in range(28)}
    days = [
        ((sets.on(r["completed_at"]) or date.min) - (sets.on(r["began"]) or date.min)).days
        for r in ever
        if r["completed_at"] and r["began"]
    ]
    progress = [
        sets.rows[p]["progress_percent"]
        for p in group & sets.sets["open"]
        if sets.rows[p]["progress_percent"] is not None
    ]
    scores = [r["score"] for r in rows if r["score"] is not None]
    whole = [d for d in days if d >= 0]
    return {
        "learners": len({r["user_id"] for r in rows}),
        "enrolled_28d": sum(sets.on(r["began"]) in recent for r in rows),
        "completed_28d": sum(sets.on(r["completed_at"]) in recent for r in ever),
        "days_to_complete_p50": percentile(whole, 0.5),
        "days_to_complete_p90": percentile(whole, 0.9),
        "days_to_complete_n": len(whole),
        "faulty_durations": len(days) - len(whole),
        "progress_mean": mean(progress),
        "progress_n": len(progress),
        "score_mean": mean(scores),
        "score_n": len(scores) if known(sets)["score"] else None,
        "time_spent_hours": sum(r["time_spent_seconds"] or 0 for r in rows) / 3600 if known(sets)["time"] else None,
        "rows_carried": sum(r["source"] == "carried" for r in rows),
        "rows_roster": sum(r["source"] == "roster" for r in rows),
        "rows_reconstructed": sum(r["source"] == "reconstructed" for r in rows),
        "rows_unfamiliar_role": sum(r["role"] is not None and r["role"].strip().lower() not in LEARNING for r in rows),
        "oldest_fetched_at": min((r["fetched_at"] for r in rows), default=None),
        "faulty_dates": sum(sets.faulty_dates[p] for p in group),
        "sentinel_dates": sum(sets.sentinel_dates[p] for p in group),
        "last_completed_at": max((r["completed_at"] for r in ever if r["completed_at"]), default=None),
    }


def figures(sets: Sets, group: set[int]) -> dict[str, object]:
    """Return every figure of a row over the enrollments of `group`; null if it is not known of the account."""
    knows = known(sets)
    counts: dict[str, object] = {f"n_{name}": len(of & group) for name, of in sets.sets.items()}
    counts |= {f"status_{status}": sum(sets.rows[p]["status"] == status for p in group) for status in STATUSES}
    for name, (num, den) in rates(sets, group).items():
        counts |= {f"{name}_num": num, f"{name}_den": den, name: num / den if den else None}
    if not counts["status_passed"] and not counts["status_failed"]:
        counts["pass_rate"] = None
    about_due = ("n_due", "n_on_time", "n_late", "n_overdue", "on_time_rate", "overdue_rate")
    about_mandatory = ("n_required", "n_mandatory", "compliance_rate", "learner_compliance_rate")
    for name in counts:
        if name.startswith(about_due) and not knows["due"]:
            counts[name] = None
        if name.startswith(about_mandatory) and not knows["mandatory"]:
            counts[name] = None
    if not knows["due"]:
        counts["n_required_not_due"] = None
    return counts | sources(sets, group) | other_figures(sets, group)
