"""A lake with the tables that the report reads, without a pull: learners and courses of a made-up company.

The rows of courses and accounts are counted here from a list of enrollments, so that they fit each other.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.metrics.portfolio import ORIGIN
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.measures import ENROLLMENT_SETS
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, STATUSES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table
from lms_pipeline_tests.support.lake_files import PROVENANCE, enrollment, write

DAY = date(2026, 3, 31)
PULLED_AT = datetime(2026, 4, 1, 2, 5, tzinfo=UTC)
NOW = datetime(2026, 4, 1, 6, 0, tzinfo=UTC)


class Enrolled(NamedTuple):
    """One enrollment, reduced to what the tables of the report count."""

    learner: str
    course: str
    status: str = "in_progress"
    is_due: bool = False
    is_on_time: bool = False
    is_required: bool = False
    is_dropped: bool = False

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def is_open(self) -> bool:
        return self.status in {"in_progress", "enrolled"}


def count(enrollments: Sequence[Enrolled]) -> dict[str, Any]:
    """Return the columns that courses and accounts share."""
    n = lambda keep: sum(map(keep, enrollments))  # noqa: E731
    row: dict[str, Any] = {f"n_{one.name}": 0 for one in ENROLLMENT_SETS}
    row |= {f"status_{status}": n(lambda one, s=status: one.status == s) for status in STATUSES}
    row |= {"rows_carried": 0, "rows_roster": 0, "rows_reconstructed": 0, "after_day": 0, "left_out_by_role": 0}
    row |= {"faulty_dates": 0, "sentinel_dates": 0, "oldest_fetched_at": PULLED_AT, "days_to_complete_p50": 12.0}
    row |= {
        "learners": len({one.learner for one in enrollments}),
        "n_all": len(enrollments),
        "n_completed": n(lambda one: one.is_completed),
        "n_ever_completed": n(lambda one: one.is_completed),
        "n_finished": n(lambda one: one.is_completed),
        "n_started": n(lambda one: one.status != "enrolled" and not one.is_dropped),
        "n_open": n(lambda one: one.is_open),
        "n_dropped_early": n(lambda one: one.is_dropped),
        "n_eligible": n(lambda one: not one.is_dropped),
        "n_due": n(lambda one: one.is_due),
        "n_on_time": n(lambda one: one.is_on_time),
        "n_late": n(lambda one: one.is_due and one.is_completed and not one.is_on_time),
        "n_due_open": n(lambda one: one.is_due and one.is_open),
        "n_overdue": n(lambda one: one.is_due and one.is_open),
        "n_required": n(lambda one: one.is_required),
        "n_required_not_due": n(lambda one: one.is_required and one.is_open and not one.is_due),
        "n_mandatory_withdrawn": 0,
    }
    for name, (counted, of) in _divide(enrollments, row).items():
        is_known = of and (name != "pass_rate" or row["status_passed"] + row["status_failed"])
        row |= {f"{name}_num": counted, f"{name}_den": of, name: counted / of if is_known else None}
    return row


def _divide(enrollments: Sequence[Enrolled], row: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return numerator and denominator of each rate."""
    n = lambda keep: sum(map(keep, enrollments))  # noqa: E731
    pairs: dict[tuple[str, str], bool] = defaultdict(bool)
    required: dict[str, bool] = defaultdict(lambda: True)
    for one in enrollments:
        if not one.is_dropped:
            pairs[one.learner, one.course] |= one.is_completed
        if one.is_required:
            required[one.learner] &= one.is_completed
    return {
        "completion_rate": (row["n_completed"], row["n_all"]),
        "completion_rate_eligible": (row["n_completed"], row["n_eligible"]),
        "completion_rate_started": (row["n_completed"], row["n_started"]),
        "ever_completion_rate": (row["n_ever_completed"], row["n_eligible"]),
        "learner_completion_rate": (sum(pairs.values()), len(pairs)),
        "start_rate": (n(lambda one: one.status != "enrolled" and not one.is_dropped), row["n_eligible"]),
        "pass_rate": (row["n_completed"], row["n_finished"]),
        "withdrawal_rate": (row["status_withdrawn"], row["n_all"]),
        "on_time_rate": (row["n_on_time"], row["n_due"]),
        "overdue_rate": (row["n_due_open"], row["n_open"]),
        "compliance_rate": (n(lambda one: one.is_required and one.is_completed), row["n_required"]),
        "learner_compliance_rate": (sum(required.values()), len(required)),
    }


def count_courses(enrollments: Iterable[Enrolled], titles: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of `course_completion`."""
    by_course: dict[str, list[Enrolled]] = defaultdict(list)
    for one in enrollments:
        by_course[one.course].append(one)
    return [
        {"course_id": course, "course_title": (titles or {}).get(course, f"Course {course}"), **count(group)}
        for course, group in sorted(by_course.items())
    ]


def publish_day(
    data: DataDir,
    account_id: str,
    day: date,
    enrollments: Sequence[Enrolled],
    titles: dict[str, str] | None = None,
    *,
    has_details: bool = True,
) -> None:
    """Write the tables of an account and day; without `has_details` those of the trend only."""
    courses = count_courses(enrollments, titles)
    _write(data, ACCOUNT_COMPLETION, account_id, day, count(enrollments))
    _write(data, COURSE_COMPLETION, account_id, day, *courses)
    if not has_details:
        return
    _write(data, UNIFIED_ENROLLMENTS, account_id, day, enrollment("u1"))
    _write(data, REJECTED_ENROLLMENTS, account_id, day)
    scopes = [(None, None, enrollments)] + [
        (row["course_id"], row["course_title"], [one for one in enrollments if one.course == row["course_id"]])
        for row in courses
    ]
    _write(data, COHORT_COMPLETION, account_id, day, *(row for scope in scopes for row in _build_cohorts(day, *scope)))
    _write(data, COMPLETION_CURVE, account_id, day, *(row for scope in scopes for row in _build_curve(*scope)))
    names = {row["course_id"]: row["course_title"] for row in courses}
    _write(data, ATTENTION, account_id, day, *_build_attention(day, enrollments, names))


def lack_raw_records(data: DataDir, account_id: str, reason: str, **metadata: str) -> None:
    """Write raw enrollments as a pull whose raw records could not be fetched, for that reason."""
    path = data.file(RAW_ENROLLMENTS, Partition(account_id, DAY))
    write(path, RAW_ENROLLMENTS, metadata={**PROVENANCE, "incomplete_because": reason, **metadata})


def publish_portfolio_row(
    data: DataDir, day: date, row: dict[str, Any], accounts: int, missing: int, origin: str | None = None
) -> None:
    """Write the portfolio of a day; `origin` is that of the accounts' files, without one it counts as outdated."""
    write(
        data.file(PORTFOLIO_COMPLETION, DayPartition(day)),
        PORTFOLIO_COMPLETION,
        {"accounts": accounts, "accounts_missing": missing, **row},
        metadata=PROVENANCE if origin is None else {**PROVENANCE, ORIGIN: origin},
    )


def _write(data: DataDir, table: Table, account_id: str, day: date, *rows: dict[str, Any]) -> None:
    names = set(table.column_names)
    kept = [{name: value for name, value in row.items() if name in names} for row in rows]
    metadata = {**PROVENANCE, "pulled_at": PULLED_AT.isoformat(), "idle_unknown": "4"}
    write(data.file(table, Partition(account_id, day)), table, *kept, metadata=metadata)


def _build_cohorts(day: date, course_id, title, enrollments) -> Iterable[dict[str, Any]]:
    share = sum(one.is_completed for one in enrollments) / max(1, len(enrollments))
    for back in range(6):
        month = (day.year * 12 + day.month - 1) - back
        cohort = date(month // 12, month % 12 + 1, 1)
        enrolled = len(enrollments) // 6
        for since in range(back + 1):
            completed = round(enrolled * min(1, share * (since + 1) / 4))
            yield {
                "scope": "account" if course_id is None else "course",
                "course_id": course_id,
                "course_title": title,
                "cohort": cohort,
                "months_since": since,
                "enrolled": enrolled,
                "completed": completed,
                "rate": completed / enrolled if enrolled else None,
                "is_whole": True,
                "left_out": len(enrollments) % 6,
            }


def _build_curve(course_id, title, enrollments) -> Iterable[dict[str, Any]]:
    n, share = len(enrollments), sum(one.is_completed for one in enrollments) / max(1, len(enrollments))
    last = 180
    for day in range(0, last + 1, 2):
        done = share * day / last
        left = 0.1 * day / last
        bounds = lambda x: {"_low": max(0.0, x - 0.04), "_high": min(1.0, x + 0.04)} if 0 < x < 1 else {}  # noqa: E731
        row = {
            "scope": "account" if course_id is None else "course",
            "course_id": course_id,
            "course_title": title,
            "day": day,
            "at_risk": max(1, round(n * (1 - done - left))),
            "completed": 1,
            "left": 0,
            "censored": 0,
            "open_share": 1 - done - left,
            "completed_share": done,
            "left_share": left,
            "left_out": 3,
            "undated_ends": 0,
        }
        for name, value in (("open", 1 - done - left), ("completed", done), ("left", left)):
            row |= {f"{name}_share{suffix}": bound for suffix, bound in bounds(value).items()}
        yield row


def _build_attention(day: date, enrollments: Sequence[Enrolled], titles: dict[str, str]) -> Iterable[dict[str, Any]]:
    reasons = ("idle", "never_started", "due_soon", "stuck")
    for number, one in enumerate(enrollments):
        if not one.is_open:
            continue
        reason = "overdue" if one.is_due else reasons[number % 5] if number % 5 < 4 else None
        if reason is None:
            continue
        yield {
            "enrollment_id": f"{one.learner}-{one.course}",
            "user_id": one.learner,
            "user_name": f"Learner {one.learner}",
            "course_id": one.course,
            "course_title": titles[one.course],
            "reason": reason,
            "reasons": reason,
            "days": number % 40,
            "status": one.status,
            "due_day": day - timedelta(days=number % 40) if one.is_due else None,
        }


TITLES = (
    *("Information security", "Fire safety", "Code of conduct", "First aid", "Anti-bribery", "Data protection"),
    *("Manual handling", "Working at height", "Sales onboarding", "Negotiation", "Welding basics", "Forklift licence"),
)


def make_enrollments(learners: int, courses: int, seed: int, share: float = 0.6) -> list[Enrolled]:
    """Return enrollments of a made-up company, the same for the same arguments."""
    rng = random.Random(seed)  # noqa: S311
    found = []
    for course in range(courses):
        chance = min(0.97, max(0.05, share + rng.uniform(-0.4, 0.35)))
        is_required = course % 3 == 0
        size = max(1, int(learners * rng.uniform(0.1, 0.9)))
        for learner in rng.sample(range(learners), size):
            draws = [rng.random() for _ in range(5)]  # as many for each, so that another share changes few enrollments
            is_done, is_due = draws[0] < chance, is_required and draws[1] < 0.7
            is_dropped = not is_done and draws[2] < 0.04
            status = (
                "completed"
                if is_done
                else "withdrawn"
                if is_dropped
                else "in_progress"
                if draws[3] < 0.6
                else "enrolled"
            )
            is_on_time = is_due and is_done and draws[4] < 0.85
            found.append(
                Enrolled(
                    f"u{learner:04}", f"c{course:03}", status, is_due and not is_dropped, is_on_time,
                    is_required and not is_dropped, is_dropped,
                )
            )  # fmt: skip
    return found


def make_titles(courses: int) -> dict[str, str]:
    """Return titles of courses by id."""
    return {
        f"c{number:03}": TITLES[number % len(TITLES)]
        + (f" {number // len(TITLES) + 1}" if number >= len(TITLES) else "")
        for number in range(courses)
    }


def register(data: DataDir, names: dict[str, str]) -> None:
    """Add accounts to the registry, by id and name."""
    for account_id, name in names.items():
        Registry(data).add(account_id, name=name, first_day=date(2026, 1, 1))


def build_company(data: DataDir, *, days: int = 35, days_back: Sequence[int] | None = None) -> None:
    """Write the lake of three accounts over some days: the latest ones, or those so many days before the last one, 0."""
    register(data, {"north": "Northwind Traders", "south": "Southridge Video", "lakes": "Lakeside Clinics"})
    register(data, {"late": "Contoso"})  # has no day
    for back in reversed(range(days)) if days_back is None else days_back:
        day, parts = DAY - timedelta(days=back), []
        for seed, (account_id, learners, courses) in enumerate(
            (("north", 400, 14), ("south", 120, 6), ("lakes", 60, 4))
        ):
            enrollments = make_enrollments(learners, courses, seed, 0.62 - back * 0.003)
            publish_day(data, account_id, day, enrollments, make_titles(courses), has_details=back == 0)
            parts += [
                one._replace(learner=f"{account_id}-{one.learner}", course=f"{account_id}-{one.course}")
                for one in enrollments
            ]
        publish_portfolio_row(data, day, count(parts), accounts=3, missing=1 if back == 0 else 0)
