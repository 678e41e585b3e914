"""How the snapshot was pulled: in time, from fresh answers, and with room to spare.

What belongs here: what makes a snapshot weaker than it looks, though nothing in it is wrong.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from lms_pipeline.checks.base import Subject
from lms_pipeline.checks.finding import Finding, percent
from lms_pipeline.lake.disk import size_told

LATEST = timedelta(hours=6)
"""After the day's end. What learners did since is in the snapshot too."""
MOST_DROPPED = 0.1
"""Of the enrollments before. Far less than what is refused (`max_drop`), but no course is emptied every day."""
MOST_ROSTER = 0.1
"""Of the enrollments: their details tell less than their own answer would."""

DAYS_OF_ROOM = 7
"""Pulls like this one that should fit the disk: a week to make room."""


def there_is_room(subject: Subject) -> Finding:
    """The disk has room for seven pulls like this one; without room for one, a pull asks for nothing."""
    from lms_pipeline.lake.disk import room

    found = room(subject.data, subject.partition)
    told = f"{size_told(found.free)} are free on the disk, and a pull like this one needs about {size_told(found.needed)}"
    figures = {"bytes_free": found.free, "bytes_needed": found.needed}
    if found.free >= DAYS_OF_ROOM * found.needed:
        return Finding(passed=True, told=f"{told}.", figures=figures)
    return Finding(passed=False, told=f"{told}: make room.", figures=figures)


def row_drop(subject: Subject) -> Finding:
    """At most a tenth of the enrollments of the snapshot before are gone; far more than that is not published at all."""
    from lms_pipeline.lake.files import count_rows
    from lms_pipeline.lake.publishing import FEW, drop_of

    drop = drop_of(subject.data, subject.partition, count_rows(subject.file))
    if drop.day_before is None:
        return Finding(
            passed=True,
            told=f"{drop.rows:,} enrollments; there is no snapshot before it.",
            figures={"rows": drop.rows},
        )
    figures = {"rows": drop.rows, "rows_before": drop.rows_before, "change": drop.rows - drop.rows_before}
    told = f"{drop.rows:,} enrollments, {drop.rows - drop.rows_before:+,} since {drop.day_before}"
    if drop.rows_before < FEW:
        return Finding(passed=True, told=f"{told}; fewer than {FEW} are not compared.", figures=figures)
    limits = f"{percent(drop.share)} are gone; {percent(MOST_DROPPED)} pass, {percent(subject.options.max_drop)} are refused"
    most = min(MOST_DROPPED, subject.options.max_drop)
    return Finding(drop.share <= most, f"{told}: {limits}.", figures | {"share_gone": round(drop.share, 4)})


def pulled_in_time(subject: Subject) -> Finding:
    """It was pulled within six hours of the day's end."""
    pulled_at = datetime.fromisoformat(subject.told["pulled_at"])
    late = pulled_at - subject.calendar.ends_at(subject.partition.day)
    hours = round(late / timedelta(hours=1), 1)
    told = f"It was pulled {hours:.1f} hours after the end of {subject.partition.day}"
    if late <= LATEST:
        return Finding(passed=True, told=f"{told}.", figures={"hours": hours})
    since = ": what learners did since is in it, and enrollments that were removed since are not."
    return Finding(passed=False, told=f"{told}{since}", figures={"hours": hours})


def few_are_told_by_others(subject: Subject) -> Finding:
    """At most a tenth is told by rosters alone, and what is carried over was asked for within its turn."""
    sources = {row["source"]: row for row in subject.ask("sources.sql")}
    rows = {name: int(source["enrollments"]) for name, source in sources.items()}
    total = sum(rows.values())
    if not total:
        return Finding(passed=True, told="There is no enrollment.", figures={"carried": 0, "roster": 0})
    carried, roster = rows.get("carried", 0), rows.get("roster", 0)
    pulled_at = datetime.fromisoformat(subject.told["pulled_at"])
    oldest = min(source["oldest_fetch"] for source in sources.values())
    age = (pulled_at - oldest) / timedelta(days=1)
    turn = subject.options.rotation_days
    is_stale = bool(carried and turn and age > turn + 1)
    figures = {
        "carried": carried,
        "roster": roster,
        "share_carried": round(carried / total, 4),
        "share_roster": round(roster / total, 4),
        "oldest_days": round(age, 1),
    }
    told = (
        f"{percent(carried / total)} of {total:,} enrollments are carried over, {percent(roster / total)} are told by rosters; "
        f"the oldest answer is {age:.1f} days old"
    )
    more = (
        f", and each should be asked for within {turn} days: give the account more calls" if is_stale else ""
    )
    return Finding(roster <= MOST_ROSTER * total and not is_stale, f"{told}{more}.", figures)
