"""The expected figures on OULAD, recomputed from its CSVs by the definitions.

Belongs here: sets, counts and rates over the states of `oulad_states.py`. It shares no code with the package.

These rules for metrics do not apply: no role is excluded; later enrollments are not served yet; nobody is enrolled in a
course twice, so nothing is superseded and a pair of learner and course is an enrollment; nothing expires or is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from lms_pipeline_tests.support.oulad_states import MODULES, build_presentations, find_last_day, to_number

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DAYS", "OTHER_DAYS", "Expected", "Figures", "compute_expected", "compute_figures", "find_last_day"]

DAYS = (
    date(2013, 1, 15),  # before the first start: registrations for 2013B, and those without a date for 2013J
    date(2013, 5, 15),  # in the middle of 2013B
    date(2013, 9, 29),  # the day on which 2013B ends
    date(2014, 2, 1),  # the day on which 2014B starts, in the middle of 2013J
    date(2014, 11, 20),  # in the middle of 2014J
    date(2015, 6, 27),  # the last presentations end: all enrollments exist and have ended
)
"""Days to pull. The last one is `find_last_day`."""
OTHER_DAYS = (
    date(2013, 8, 31),  # the last day of a month
    date(2013, 12, 31),
    date(2014, 6, 15),
    date(2015, 2, 28),
)
"""More days to compute."""

Figures = dict[str, float | None]
"""Figures by column name."""
STATUSES = (
    "assigned", "enrolled", "in_progress", "completed", "passed", "failed", "withdrawn", "expired", "overdue", "unknown",
)  # fmt: skip
DUE_FIGURES = ("n_due", "n_on_time", "n_late", "n_overdue", "on_time_rate", "overdue_rate", "n_required_not_due")
MANDATORY_FIGURES = ("n_required", "n_mandatory_withdrawn", "compliance_rate", "learner_compliance_rate")


@dataclass(frozen=True, slots=True)
class Expected:
    """The figures of one day."""

    accounts: dict[str, Figures]
    """By module: all seven, even without enrollments."""
    courses: dict[str, Figures]
    """By course: those with an enrollment, with `score_mean` and `score_n`."""


def compute_expected(oulad: Path, day: date) -> Expected:
    """Return the figures of presentations as courses at the end of `day`, UTC."""
    return compute_figures(build_presentations(oulad, day), day)


def compute_figures(states: pd.DataFrame, day: date) -> Expected:
    """Return the figures of all accounts and courses over the states at the end of `day`."""
    assert not states.duplicated(["course", "user"]).any()
    sets = _find_sets(states, to_number(day))
    known = states.groupby("account")[["due", "mandatory", "score"]].count().reindex(MODULES, fill_value=0) > 0
    by_account = _count(states, sets, "account").reindex(MODULES)
    by_account["learners"] = by_account["learners"].fillna(0)
    by_course = _count(states, sets, "course")
    accounts = {name: _build_row(by_account.loc[[name]], known.loc[[name]]) for name in MODULES}
    courses = {name: _build_row(by_course.loc[[name]], known.loc[[name[:3]]]) for name in map(str, by_course.index)}
    for row in accounts.values():  # scales differ between courses
        del row["score_mean"], row["score_n"]
    return Expected(accounts, courses)


def _find_sets(states: pd.DataFrame, today: int) -> pd.DataFrame:
    """Return a column for each set, and for the numerators that are no set."""
    status, due = states["status"], states["due"]
    began, done_on = states["began"], states["completed"]
    s = pd.DataFrame(index=states.index)
    for name in STATUSES:
        s[f"status_{name}"] = status == name
    s["all"] = True
    s["completed"] = status.isin(["completed", "passed"])
    s["ever_completed"] = s["completed"] | (done_on.notna() & (status != "failed"))
    s["lapsed"] = s["ever_completed"] & (status == "expired")
    s["timed_out"] = ~s["ever_completed"] & (status == "expired")
    s["finished"] = status.isin(["completed", "passed", "failed"])
    s["started"] = done_on.notna() | (states["progress"] > 0) | s["finished"] | (status == "in_progress")
    s["open"] = status.isin(["assigned", "enrolled", "in_progress", "overdue"])
    s["open_started"] = s["open"] & s["started"]
    s["not_started"] = s["open"] & ~s["started"]
    withdrawn_in_time = (status == "withdrawn") & (states["updated"] <= due)
    s["dropped_early"] = (
        (status == "withdrawn") & ~s["started"] & (due.isna() | (due > today) | (due >= states["updated"]))
    )
    s["eligible"] = ~s["dropped_early"]
    s["eligible_started"] = s["eligible"] & s["started"]
    s["superseded"] = False
    s["due"] = (due <= today) & ~withdrawn_in_time
    done = s["due"] & s["ever_completed"] & ~s["open"]
    s["on_time"] = done & (done_on <= due)
    s["late"] = done & (done_on > due)
    s["due_undated"] = done & done_on.isna()
    s["due_open"] = s["due"] & s["open"]
    for name in ("failed", "withdrawn", "expired", "unknown"):
        s[f"due_{name}"] = s["due"] & ~s["ever_completed"] & (status == name)
    s["overdue"] = s["open"] & (s["due"] | (status == "overdue"))
    s["open_dated"] = s["open"] & due.notna()
    s["overdue_dated"] = s["overdue"] & due.notna()
    mandatory = states["mandatory"].eq(True)  # noqa: FBT003 (a value to compare with)
    s["required"] = mandatory & (status != "withdrawn")
    s["required_completed"] = s["required"] & s["completed"]
    s["required_not_due"] = s["required"] & s["open"] & (due > today) & (status != "overdue")
    s["mandatory_withdrawn"] = mandatory & (status == "withdrawn")
    s["enrolled_28d"] = (began > today - 28) & (began <= today)
    s["completed_28d"] = s["ever_completed"] & (done_on > today - 28) & (done_on <= today)
    days = done_on - began
    s["duration"] = s["ever_completed"] & (days >= 0)
    s["faulty_duration"] = s["ever_completed"] & (days < 0)
    return s


def _count(states: pd.DataFrame, sets: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return a row for each account or course: the sizes of the sets, and the figures that are no count of a set."""
    group = states[key]
    counts = sets.groupby(group).sum().astype(float)
    by_group = states.groupby(key)
    counts["learners"] = by_group["user"].nunique()
    days = (states["completed"] - states["began"]).where(sets["duration"]).groupby(group)
    counts["days_to_complete_p50"] = days.quantile(0.5)
    counts["days_to_complete_p90"] = days.quantile(0.9)
    progress = states["progress"].where(sets["open"]).groupby(group)
    counts["progress_mean"], counts["progress_n"] = progress.mean(), progress.count()
    counts["score_mean"], counts["score_n"] = by_group["score"].mean(), by_group["score"].count()
    required = states[sets["required"]].assign(completed=sets["completed"][sets["required"]])
    people = required.groupby([key, "user"])["completed"].all().groupby(level=0)
    counts["compliant"] = people.sum().reindex(counts.index)
    counts["required_people"] = people.count().reindex(counts.index)
    return counts


def _build_row(row_of_counts: pd.DataFrame, known_of_account: pd.DataFrame) -> Figures:
    """Return the columns of a table, null where the account does not know the field."""
    counts, known = row_of_counts.iloc[0], known_of_account.iloc[0]
    n = counts.fillna(0).astype(int)
    row: Figures = {name: int(n[name]) for name in ("learners", "progress_n", "score_n")}
    row |= {f"n_{name}": int(n[name]) for name in _SET_NAMES}
    row |= {f"status_{name}": int(n[f"status_{name}"]) for name in STATUSES}
    for name, (numerator, denominator) in _RATES.items():
        num, den = int(n[numerator]), int(n[denominator])
        row |= {name: num / den if den else None, f"{name}_num": num, f"{name}_den": den}
    if not n["status_passed"] + n["status_failed"]:
        row["pass_rate"] = None
    row |= {name: int(n[name]) for name in ("enrolled_28d", "completed_28d")}
    row |= {"days_to_complete_n": int(n["duration"]), "faulty_durations": int(n["faulty_duration"])}
    for name in ("days_to_complete_p50", "days_to_complete_p90", "progress_mean", "score_mean"):
        value: Any = counts[name]
        row[name] = None if pd.isna(value) else float(value)
    unknown = (() if known["due"] else DUE_FIGURES) + (() if known["mandatory"] else MANDATORY_FIGURES)
    row |= dict.fromkeys(name for name in row if name.startswith(unknown))
    if not known["mandatory"]:
        row["n_required_not_due"] = None
    if not known["score"]:
        row["score_n"] = None
    row["time_spent_hours"] = None
    return row


_SET_NAMES = (
    "all", "completed", "ever_completed", "lapsed", "timed_out", "finished", "started", "open", "open_started",
    "not_started", "dropped_early", "eligible", "superseded", "due", "on_time", "late", "due_undated", "due_open",
    "due_failed", "due_withdrawn", "due_expired", "due_unknown", "overdue", "required", "required_not_due",
    "mandatory_withdrawn",
)  # fmt: skip
_RATES = {
    "completion_rate": ("completed", "all"),
    "completion_rate_eligible": ("completed", "eligible"),
    "completion_rate_started": ("completed", "started"),
    "ever_completion_rate": ("ever_completed", "eligible"),
    "learner_completion_rate": ("ever_completed", "eligible"),
    "start_rate": ("eligible_started", "eligible"),
    "pass_rate": ("completed", "finished"),
    "withdrawal_rate": ("status_withdrawn", "all"),
    "on_time_rate": ("on_time", "due"),
    "overdue_rate": ("overdue_dated", "open_dated"),
    "compliance_rate": ("required_completed", "required"),
    "learner_compliance_rate": ("compliant", "required_people"),
}
