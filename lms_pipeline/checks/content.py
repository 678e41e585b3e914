"""What the enrollments say, and whether anybody should look at it.

What belongs here: statuses, roles, raw against unified, rejected records. Whether the file is whole is `integrity.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lms_pipeline.checks.base import Subject
from lms_pipeline.checks.finding import MOST_ROWS, Finding, counted, percent
from lms_pipeline.metrics.completion import EXCLUDED_ROLES, LEARNER_ROLES
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS

SAYS_COMPLETION = ("$.completion_status", "$.completionStatus", "$.status", "$.state")
"""Where LMSs say how far an enrollment is; TalentLMS says it in the first."""
DONE = ("completed", "complete", "passed")
UNDONE = (
    "incomplete",
    "not attempted",
    "not started",
    "enrolled",
    "assigned",
    "in progress",
    "started",
    "overdue",
)
WRONG = ("completed in raw alone", "completed in unified alone", "raw alone", "unified alone")

MOST_REJECTED = 0.01
"""Of what was served. A record or two without a learner are in many an LMS; more of them are a change of the API."""


def agrees_with_raw(subject: Subject) -> Finding:
    """The same enrollments are in both, and what is complete in one isn't open in the other."""
    from lms_pipeline.lake.files import count_rows

    raw = subject.path(RAW_ENROLLMENTS)
    if not subject.agrees_with(RAW_ENROLLMENTS, "run_id") or not count_rows(raw):
        return Finding(passed=True, told="There is nothing raw of this day to compare with.")
    judged = subject.ask(
        "raw_against_unified.sql",
        raw=str(raw),
        keys=list(SAYS_COMPLETION),
        done=list(DONE),
        undone=list(UNDONE),
        most=MOST_ROWS,
    )
    pairs = {row["judgement"]: int(row["pairs"]) for row in judged}
    figures = {name.replace(" ", "_"): pairs.get(name, 0) for name in ("agrees", "not compared", *WRONG)}
    # a rejected record has its raw all the same
    rejected = int(subject.told.get("rejected", 0))
    wrong = {name: pairs.get(name, 0) for name in WRONG}
    if wrong["raw alone"] <= rejected:
        wrong["raw alone"] = 0
    told = (
        f"{sum(pairs.values()):,} pairs of learner and course: {figures['agrees']:,} agree on completion, "
        f"{figures['not_compared']:,} can't be compared"
    )
    trouble = [f"{count:,} are {name}" for name, count in wrong.items() if count]
    rows = [row for row in judged if wrong.get(row["judgement"])]
    return Finding(not trouble, f"{', '.join([told, *trouble])}.", figures, rows[:MOST_ROWS])


def statuses_are_known(subject: Subject) -> Finding:
    """Every status is one of the documented ten; others are stored as `unknown`, and count as not completed."""
    rows = subject.ask("unseen_statuses.sql", most=MOST_ROWS)
    trouble = "a status that is not documented: they count as not completed"
    return _unseen(rows, "status_raw", "Every status is documented.", trouble)


def roles_are_known(subject: Subject) -> Finding:
    """Every role is known to learn, or is left out; others count as learners."""
    rows = subject.ask("unseen_roles.sql", known=[*EXCLUDED_ROLES, *LEARNER_ROLES], most=MOST_ROWS)
    return _unseen(
        rows, "role", "Every role is known.", "a role that nobody has seen: they count as learners"
    )


def _unseen(rows: Sequence[Mapping[str, Any]], column: str, fine: str, trouble: str) -> Finding:
    unseen = int(rows[0]["of_all"]) if rows else 0
    told = f"{unseen:,} enrollments have {trouble}." if unseen else fine
    shown = [{name: row[name] for name in (column, "enrollments")} for row in rows]
    return Finding(not unseen, told, {"enrollments": unseen}, shown)


def few_are_rejected(subject: Subject) -> Finding:
    """At most a hundredth of what was served names no usable enrollment, learner or course."""
    from lms_pipeline.lake.files import read_metadata

    rows = subject.ask("reasons.sql", most=MOST_ROWS)
    rejected = counted(rows, "records")
    unified = subject.path(UNIFIED_ENROLLMENTS)
    served = int(read_metadata(unified).get("served", 0)) if unified.exists() else 0
    share = rejected / served if served else 0.0
    told = f"{rejected:,} of {served:,} records that were served are rejected, {percent(share)}."
    figures = {"rejected": rejected, "served": served, "share": round(share, 4)}
    return Finding(share <= MOST_REJECTED, told, figures, rows)
