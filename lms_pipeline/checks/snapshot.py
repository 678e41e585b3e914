"""Whether a file is what its table says, and holds what the pull brought.

What belongs here: what `lake/audit.py` saw before it published, seen again by who comes later: a file may have been changed
by hand, restored from a backup, or written by another version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Check, Finding, Subject, format_percent, sum_column
from lms_pipeline.checks.metrics import parts_sum, rates_are_shares
from lms_pipeline.lake.disk import format_bytes
from lms_pipeline.metrics.completion import EXCLUDED_ROLES, LEARNER_ROLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import (
    COURSES,
    LEARNERS,
    RAW_ENROLLMENTS,
    REJECTED_ENROLLMENTS,
    UNIFIED_ENROLLMENTS,
)
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

SUMS = ("served", "carried", "roster", "rejected", "duplicates_identical", "duplicates_conflicting")


def schema(subject: Subject) -> Finding:
    """The columns are the table's; those of an older file are among them."""
    import pyarrow.parquet as pq

    from lms_pipeline.lake.files import count_rows, read_errors

    version = int(subject.metadata.get("schema_version", "0"))
    with read_errors(subject.file):
        found = {field.name: field for field in pq.read_schema(subject.file)}
    expected = {field.name: field for field in arrow_schema(subject.table)}
    wrong = list(_differing(found, expected, is_older=version < SCHEMA_VERSION))
    figures = {"columns": len(found), "schema_version": version, "rows": count_rows(subject.file)}
    if version > SCHEMA_VERSION:
        message = f"The file is of schema {version}, and this version knows up to {SCHEMA_VERSION}: upgrade."
        return Finding(passed=False, message=message, figures=figures)
    message = (
        f"{len(wrong)} columns are not as described."
        if wrong
        else f"All {len(found)} columns are as described."
    )
    return Finding(not wrong, message, figures, wrong[:MAX_EXAMPLE_ROWS])


def _differing(
    found: dict[str, pa.Field], expected: dict[str, pa.Field], *, is_older: bool
) -> Iterator[dict[str, str]]:
    for name in (*expected, *(name for name in found if name not in expected)):
        if name not in found:
            if not is_older:
                yield {"column": name, "expected": str(expected[name].type), "found": "nothing"}
        elif name not in expected:
            yield {"column": name, "expected": "nothing", "found": str(found[name].type)}
        elif found[name].type != expected[name].type or found[name].nullable != expected[name].nullable:
            yield {"column": name, "expected": _described(expected[name]), "found": _described(found[name])}


def _described(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def key_is_unique(subject: Subject) -> Finding:
    """No row is without its key, none has that of another."""
    from lms_pipeline.lake.publishing import find_key_faults

    key = tuple(subject.metadata["key"].split(",")) if "key" in subject.metadata else subject.table.key
    if not key:
        return Finding(passed=True, message="The file does not tell its key: it is of an older version.")
    faults = find_key_faults(subject.file, key)
    missing = sum(faults.nulls.values())
    figures: dict[str, str | int | float] = {
        "key": ", ".join(key),
        "rows_without_key": missing,
        "rows_repeated": faults.repeated,
    }
    if not missing and not faults.repeated:
        return Finding(passed=True, message=f"Every row has its own {' and '.join(key)}.", figures=figures)
    rows = subject.query("repeated_keys.sql", key=list(key), most=MAX_EXAMPLE_ROWS)
    message = f"{missing:,} rows have no key, and {faults.repeated:,} have that of another: pull the day again, or replay it."
    return Finding(passed=False, message=message, figures=figures, rows=rows)


def served_is_stored(subject: Subject) -> Finding:
    """Served, carried over and told by a roster: all are stored, rejected or duplicates, and nothing else is."""
    from lms_pipeline.lake.files import count_rows

    if any(name not in subject.metadata for name in SUMS):
        return Finding(passed=True, message="The file does not tell its sums: it is of an older version.")
    sums = {name: int(subject.metadata[name]) for name in SUMS}
    stored = count_rows(subject.file)
    brought = sums["served"] + sums["carried"] + sums["roster"]
    accounted = stored + sums["rejected"] + sums["duplicates_identical"] + sums["duplicates_conflicting"]
    message = (
        f"{brought:,} enrollments were brought ({sums['served']:,} served); {stored:,} are stored, {sums['rejected']:,} "
        f"were rejected, {accounted - stored - sums['rejected']:,} were duplicates"
    )
    figures = {**sums, "stored": stored, "difference": brought - accounted}
    rejected = subject.path(REJECTED_ENROLLMENTS)
    if subject.has_same_metadata(REJECTED_ENROLLMENTS, "run_id"):
        figures["rejected_stored"] = count_rows(rejected)
        if figures["rejected_stored"] != sums["rejected"]:
            kept = f", of which {figures['rejected_stored']:,} are in rejected_enrollments"
            return Finding(passed=False, message=f"{message}{kept}.", figures=figures)
    if brought == accounted:
        return Finding(passed=True, message=f"{message}.", figures=figures)
    return Finding(
        passed=False, message=f"{message}: {brought - accounted:+,} are not accounted for.", figures=figures
    )


def is_complete(subject: Subject) -> Finding:
    """Nothing is known to be missing, and the files of the pull are of one run."""
    others = [table for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS) if subject.path(table).exists()]
    if not all(subject.has_same_metadata(table, "run_id") for table in others):
        message = "The files of this day are of different runs, and those that aren't of this one are not read: pull or replay it."
        return Finding(passed=False, message=message, figures={"other_files": len(others)})
    figures = {"requests": int(subject.metadata["requests"])}
    if subject.metadata.get("complete") == "true":
        return Finding(passed=True, message="Nothing is known to be missing.", figures=figures)
    message = (
        "Something is missing that the account listed, or came twice: the metadata of the pull tell what."
    )
    return Finding(passed=False, message=message, figures=figures)


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

MAX_REJECTED_SHARE = 0.01
"""Of what was served. A record or two without a learner are in many an LMS; more of them are a change of the API."""


def agrees_with_raw(subject: Subject) -> Finding:
    """The same enrollments are in both, and what is complete in one isn't open in the other."""
    from lms_pipeline.lake.files import count_rows

    raw = subject.path(RAW_ENROLLMENTS)
    if not subject.has_same_metadata(RAW_ENROLLMENTS, "run_id") or not count_rows(raw):
        return Finding(passed=True, message="There is nothing raw of this day to compare with.")
    judged = subject.query(
        "raw_against_unified.sql",
        raw=str(raw),
        keys=list(SAYS_COMPLETION),
        done=list(DONE),
        undone=list(UNDONE),
        most=MAX_EXAMPLE_ROWS,
    )
    pairs = {row["judgement"]: int(row["pairs"]) for row in judged}
    figures = {name.replace(" ", "_"): pairs.get(name, 0) for name in ("agrees", "not compared", *WRONG)}
    # a rejected record has its raw all the same
    rejected = int(subject.metadata.get("rejected", 0))
    wrong = {name: pairs.get(name, 0) for name in WRONG}
    if wrong["raw alone"] <= rejected:
        wrong["raw alone"] = 0
    message = (
        f"{sum(pairs.values()):,} pairs of learner and course: {figures['agrees']:,} agree on completion, "
        f"{figures['not_compared']:,} can't be compared"
    )
    trouble = [f"{count:,} are {name}" for name, count in wrong.items() if count]
    rows = [row for row in judged if wrong.get(row["judgement"])]
    return Finding(not trouble, f"{', '.join([message, *trouble])}.", figures, rows[:MAX_EXAMPLE_ROWS])


def statuses_are_known(subject: Subject) -> Finding:
    """Every status is one of the documented ten; others are stored as `unknown`, and count as not completed."""
    rows = subject.query("unseen_statuses.sql", most=MAX_EXAMPLE_ROWS)
    trouble = "a status that is not documented: they count as not completed"
    return _unseen(rows, "status_raw", "Every status is documented.", trouble)


def roles_are_known(subject: Subject) -> Finding:
    """Every role is known to learn, or is left out; others count as learners."""
    rows = subject.query("unseen_roles.sql", known=[*EXCLUDED_ROLES, *LEARNER_ROLES], most=MAX_EXAMPLE_ROWS)
    return _unseen(
        rows, "role", "Every role is known.", "a role that nobody has seen: they count as learners"
    )


def _unseen(rows: Sequence[Mapping[str, Any]], column: str, fine: str, trouble: str) -> Finding:
    unseen = int(rows[0]["of_all"]) if rows else 0
    message = f"{unseen:,} enrollments have {trouble}." if unseen else fine
    shown = [{name: row[name] for name in (column, "enrollments")} for row in rows]
    return Finding(not unseen, message, {"enrollments": unseen}, shown)


def few_are_rejected(subject: Subject) -> Finding:
    """At most a hundredth of what was served names no usable enrollment, learner or course."""
    from lms_pipeline.lake.files import read_metadata

    rows = subject.query("reasons.sql", most=MAX_EXAMPLE_ROWS)
    rejected = sum_column(rows, "records")
    unified = subject.path(UNIFIED_ENROLLMENTS)
    served = int(read_metadata(unified).get("served", 0)) if unified.exists() else 0
    share = rejected / served if served else 0.0
    message = f"{rejected:,} of {served:,} records that were served are rejected, {format_percent(share)}."
    figures = {"rejected": rejected, "served": served, "share": round(share, 4)}
    return Finding(share <= MAX_REJECTED_SHARE, message, figures, rows)


MAX_LATENESS = timedelta(hours=6)
"""After the day's end. What learners did since is in the snapshot too."""
MAX_ROW_DROP = 0.1
"""Of the enrollments before. Far less than what is refused (`max_drop`), but no course is emptied every day."""
MAX_ROSTER_SHARE = 0.1
"""Of the enrollments: their details tell less than their own answer would."""

MIN_DAYS_OF_SPACE = 7
"""Pulls like this one that should fit the disk: a week to make room."""


def there_is_room(subject: Subject) -> Finding:
    """The disk has room for seven pulls like this one; without room for one, a pull asks for nothing."""
    from lms_pipeline.lake.disk import measure_free_space

    found = measure_free_space(subject.data, subject.partition)
    message = f"{format_bytes(found.free)} are free on the disk, and a pull like this one needs about {format_bytes(found.needed)}"
    figures = {"bytes_free": found.free, "bytes_needed": found.needed}
    if found.free >= MIN_DAYS_OF_SPACE * found.needed:
        return Finding(passed=True, message=f"{message}.", figures=figures)
    return Finding(passed=False, message=f"{message}: make room.", figures=figures)


def row_drop(subject: Subject) -> Finding:
    """At most a tenth of the enrollments of the snapshot before are gone; far more than that is not published at all."""
    from lms_pipeline.lake.files import count_rows
    from lms_pipeline.lake.publishing import MIN_COMPARABLE_ROWS, measure_row_drop

    drop = measure_row_drop(subject.data, subject.partition, count_rows(subject.file))
    if drop.day_before is None:
        return Finding(
            passed=True,
            message=f"{drop.rows:,} enrollments; there is no snapshot before it.",
            figures={"rows": drop.rows},
        )
    figures = {"rows": drop.rows, "rows_before": drop.rows_before, "change": drop.rows - drop.rows_before}
    message = f"{drop.rows:,} enrollments, {drop.rows - drop.rows_before:+,} since {drop.day_before}"
    if drop.rows_before < MIN_COMPARABLE_ROWS:
        return Finding(
            passed=True,
            message=f"{message}; fewer than {MIN_COMPARABLE_ROWS} are not compared.",
            figures=figures,
        )
    limits = f"{format_percent(drop.share)} are gone; {format_percent(MAX_ROW_DROP)} pass, {format_percent(subject.options.max_drop)} are refused"
    most = min(MAX_ROW_DROP, subject.options.max_drop)
    return Finding(
        drop.share <= most, f"{message}: {limits}.", figures | {"share_gone": round(drop.share, 4)}
    )


def pulled_in_time(subject: Subject) -> Finding:
    """It was pulled within six hours of the day's end."""
    pulled_at = datetime.fromisoformat(subject.metadata["pulled_at"])
    late = pulled_at - subject.calendar.ends_at(subject.partition.day)
    hours = round(late / timedelta(hours=1), 1)
    message = f"It was pulled {hours:.1f} hours after the end of {subject.partition.day}"
    if late <= MAX_LATENESS:
        return Finding(passed=True, message=f"{message}.", figures={"hours": hours})
    since = ": what learners did since is in it, and enrollments that were removed since are not."
    return Finding(passed=False, message=f"{message}{since}", figures={"hours": hours})


def few_are_told_by_others(subject: Subject) -> Finding:
    """At most a tenth is told by rosters alone, and what is carried over was asked for within its turn."""
    sources = {row["source"]: row for row in subject.query("sources.sql")}
    rows = {name: int(source["enrollments"]) for name, source in sources.items()}
    total = sum(rows.values())
    if not total:
        return Finding(passed=True, message="There is no enrollment.", figures={"carried": 0, "roster": 0})
    carried, roster = rows.get("carried", 0), rows.get("roster", 0)
    pulled_at = datetime.fromisoformat(subject.metadata["pulled_at"])
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
    message = (
        f"{format_percent(carried / total)} of {total:,} enrollments are carried over, {format_percent(roster / total)} are told by rosters; "
        f"the oldest answer is {age:.1f} days old"
    )
    more = (
        f", and each should be asked for within {turn} days: give the account more calls" if is_stale else ""
    )
    return Finding(roster <= MAX_ROSTER_SHARE * total and not is_stale, f"{message}{more}.", figures)


UNIFIED = (UNIFIED_ENROLLMENTS,)
OTHERS = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES)

PULL_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, (UNIFIED_ENROLLMENTS, *OTHERS), blocks=True),
    Check(key_is_unique, (UNIFIED_ENROLLMENTS, LEARNERS, COURSES), blocks=True),
    Check(served_is_stored, UNIFIED),
    Check(agrees_with_raw, UNIFIED),
    Check(is_complete, UNIFIED, is_grave=False),
    Check(row_drop, UNIFIED, is_grave=False),
    Check(statuses_are_known, UNIFIED, is_grave=False),
    Check(roles_are_known, UNIFIED, is_grave=False),
    Check(few_are_told_by_others, UNIFIED, is_grave=False),
    Check(pulled_in_time, UNIFIED, is_grave=False),
    Check(there_is_room, UNIFIED, is_grave=False),
    Check(few_are_rejected, (REJECTED_ENROLLMENTS,), is_grave=False),
)
"""Of what a pull brought."""

METRICS = (ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION)

METRIC_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, METRICS),
    Check(key_is_unique, (COURSE_COMPLETION, LEARNER_COMPLETION)),
    Check(rates_are_shares, METRICS),
    Check(parts_sum, METRICS),
)
"""Of what was worked out from it."""
