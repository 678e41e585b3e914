"""Checks of the pulled tables of one account and day.

Belongs here: whether a file is still as its table requires, what its enrollments contain, and how they were pulled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Check, Finding, Subject, format_percent
from lms_pipeline.checks.raw import agrees_with_raw
from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.lake.space import measure_free_space
from lms_pipeline.storage.disk import format_bytes
from lms_pipeline.tables.pulled import COURSES, LEARNERS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.roles import LEARNER_ROLES, normalize_role
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = ("served", "carried", "roster", "rejected", "duplicates_identical", "duplicates_conflicting")
"""Metadata of `unified_enrollments` from which its number of rows follows."""

MAX_REJECTED_SHARE = 0.01
"""Of the served records. Many LMSs have a record or two without a learner; more of them are a change of the API."""
MAX_ROW_DROP = 0.1
"""Of the previous enrollments. Far less than what is refused (`max_drop`), but no course is emptied every day."""
MAX_ROSTER_SHARE = 0.1
"""Of the enrollments: a roster has less detail than the response for an enrollment."""
MAX_LATENESS = timedelta(hours=6)
"""After the day's end. What learners did since then is in the snapshot too."""
MIN_PULLS_OF_SPACE = 7
"""Pulls like this one that should fit on the disk: a week to free some space."""


def schema(subject: Subject) -> Finding:
    """The columns are those of the table; an older file may have fewer."""
    version = int(subject.metadata.get("schema_version", "0"))
    found = {field.name: field for field in subject.footer.schema.to_arrow_schema()}
    expected = {field.name: field for field in arrow_schema(subject.table)}
    as_described = {name for name in found.keys() & expected.keys() if found[name] == expected[name]}
    if version < SCHEMA_VERSION:
        as_described |= expected.keys() - found.keys()
    wrong = [
        {"column": name, "expected": _describe(expected.get(name)), "found": _describe(found.get(name))}
        for name in dict.fromkeys((*expected, *found))
        if name not in as_described
    ]
    figures = {"columns": len(found), "schema_version": version, "rows": subject.rows}
    if version > SCHEMA_VERSION:
        message = f"The file has schema {version}, and this version reads up to {SCHEMA_VERSION}: upgrade."
        return Finding(passed=False, message=message, figures=figures)
    count = (
        f"{format_count(len(wrong), 'column')} {choose_form(len(wrong), 'is', 'are')} not"
        if wrong
        else f"All {len(found)} columns are"
    )
    return Finding(not wrong, f"{count} as described.", figures, wrong[:MAX_EXAMPLE_ROWS])


def _describe(field: pa.Field | None) -> str:
    return "nothing" if field is None else f"{field.type}{'' if field.nullable else ' not null'}"


def key_is_unique(subject: Subject) -> Finding:
    """Every row has a key, and no two rows have the same key."""
    key = tuple(subject.metadata["key"].split(",")) if "key" in subject.metadata else subject.table.key
    if not key:
        return Finding(passed=True, message="The file has no key in its metadata: an older version wrote it.")
    faults = subject.find_key_faults(key)
    missing = sum(count for name, count in faults.nulls.items() if name not in subject.table.optional_key)
    figures: dict[str, str | int] = {
        "key": ", ".join(key),
        "rows_without_key": missing,
        "rows_repeated": faults.repeated,
    }
    if not missing and not faults.repeated:
        return Finding(passed=True, message=f"Every row has its own {' and '.join(key)}.", figures=figures)
    subject.create_view()
    rows = subject.query("repeated_keys.sql", key=list(key), max_rows=MAX_EXAMPLE_ROWS)
    message = (
        f"{format_count(missing, 'row')} {choose_form(missing, 'has', 'have')} no key, and {faults.repeated:,} "
        f"{choose_form(faults.repeated, 'has', 'have')} that of another row: pull the day again, or replay it."
    )
    return Finding(passed=False, message=message, figures=figures, rows=rows)


def served_is_stored(subject: Subject) -> Finding:
    """All enrollments that were served, carried over or read from a roster are stored, rejected or duplicates."""
    if any(name not in subject.metadata for name in COUNTS):
        return Finding(passed=True, message="The file has no counts in its metadata: an older version wrote it.")
    counts = {name: int(subject.metadata[name]) for name in COUNTS}
    stored = subject.rows
    received = counts["served"] + counts["carried"] + counts["roster"]
    duplicates = counts["duplicates_identical"] + counts["duplicates_conflicting"]
    difference = received - stored - counts["rejected"] - duplicates
    figures = {**counts, "stored": stored, "difference": difference}
    message = (
        f"{format_count(received, 'enrollment')} {choose_form(received, 'was', 'were')} fetched or carried over "
        f"({counts['served']:,} served): {stored:,} {choose_form(stored, 'is', 'are')} stored, {counts['rejected']:,} rejected, "
        f"{format_count(duplicates, 'duplicate')}"
    )
    fault = f"; {difference:+,} {choose_form(abs(difference), 'is', 'are')} not accounted for" if difference else ""
    if subject.has_same_metadata(REJECTED_ENROLLMENTS, "run_id"):
        figures["rejected_stored"] = subject.open_table(REJECTED_ENROLLMENTS).rows
        if figures["rejected_stored"] != counts["rejected"]:
            fault = f"; rejected_enrollments has {format_count(figures['rejected_stored'], 'row')}"
    return Finding(not fault, f"{message}{fault}.", figures)


def is_complete(subject: Subject) -> Finding:
    """Nothing is known to be missing, and all files of the pull are of one run."""
    others = [table for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS) if subject.path(table).exists()]
    if not all(subject.has_same_metadata(table, "run_id") for table in others):
        message = (
            "The files of this day are of different runs, and those of other runs than this one are not read: pull or "
            "replay the day."
        )
        return Finding(passed=False, message=message, figures={"other_files": len(others)})
    figures = {"requests": int(subject.metadata["requests"])}
    is_whole = subject.metadata.get("complete") == "true"
    fault = "Something that the account listed is missing, or came twice: see the metadata of the pull."
    raw_metadata = subject.open_table(RAW_ENROLLMENTS).metadata if RAW_ENROLLMENTS in others else {}
    gaps = raw_metadata.get("incomplete_because")
    whole = (
        f"Nothing is known to be missing in unified_enrollments. {gaps}" if gaps else "Nothing is known to be missing."
    )
    return Finding(is_whole, whole if is_whole else fault, figures)


def _summarize(subject: Subject) -> None:
    """Count the enrollments by all that the checks look at, into the table `summary`: one pass over the file for all."""
    subject.create_view()
    subject.execute("summary.sql")


def statuses_are_known(subject: Subject) -> Finding:
    """Every status is one of the ten documented ones; others are stored as `unknown` and count as not completed."""
    subject.compute_once(_summarize)
    rows = subject.query("unseen_statuses.sql", max_rows=MAX_EXAMPLE_ROWS)
    unseen = _count_unseen(rows)
    they_count = choose_form(unseen, "it counts", "they count")
    failed = f"a status that is not documented: {they_count} as not completed"
    return _build_unseen_finding(rows, "status_raw", "Every status is documented.", failed)


def roles_are_known(subject: Subject) -> Finding:
    """Every role either learns or is excluded; other roles count as learners."""
    known = [normalize_role(role) for role in (*subject.excluded_roles, *LEARNER_ROLES)]
    subject.compute_once(_summarize)
    rows = subject.query("unseen_roles.sql", known=known, max_rows=MAX_EXAMPLE_ROWS)
    count_as = choose_form(_count_unseen(rows), "counts as a learner's", "count as learners")
    failed = (
        f"a role that is not known, and {count_as}: if a role does not learn, add it to LMS_EXCLUDED_ROLES, or to "
        "excluded_roles of the account"
    )
    return _build_unseen_finding(rows, "role", "Every role is known.", failed)


def _count_unseen(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return the enrollments of all values, also of those that are not among the example rows."""
    return int(rows[0]["of_all"]) if rows else 0


def _build_unseen_finding(rows: Sequence[Mapping[str, Any]], column: str, passed: str, failed: str) -> Finding:
    unseen = _count_unseen(rows)
    have = choose_form(unseen, "has", "have")
    message = f"{format_count(unseen, 'enrollment')} {have} {failed}." if unseen else passed
    examples = [{name: row[name] for name in (column, "enrollments")} for row in rows]
    return Finding(not unseen, message, {"enrollments": unseen}, examples)


def few_are_rejected(subject: Subject) -> Finding:
    """At most one in a hundred served records has no usable enrollment, learner or course."""
    rejected = subject.rows
    rows = _find_reasons(subject) if rejected else []
    unified = subject.open_table(UNIFIED_ENROLLMENTS)
    served = int(unified.metadata.get("served", 0)) if unified.exists else 0
    share = rejected / served if served else 0.0
    are = choose_form(rejected, "is", "are")
    message = f"{rejected:,} of {format_count(served, 'served record')} {are} rejected, {format_percent(share)}."
    figures = {"rejected": rejected, "served": served, "share": round(share, 4)}
    return Finding(share <= MAX_REJECTED_SHARE, message, figures, rows)


def _find_reasons(subject: Subject) -> list[dict[str, Any]]:
    subject.create_view()
    return subject.query("reasons.sql", max_rows=MAX_EXAMPLE_ROWS)


def row_drop(subject: Subject) -> Finding:
    """At most a tenth of the previous snapshot's enrollments are gone; a snapshot that lacks far more is not published."""
    from lms_pipeline.lake.row_drop import MIN_COMPARABLE_ROWS, measure_row_drop

    drop = measure_row_drop(subject.data, subject.account_day, subject.rows)
    if drop.day_before is None:
        message = f"{format_count(drop.rows, 'enrollment')}; there is no previous snapshot."
        return Finding(passed=True, message=message, figures={"rows": drop.rows})
    figures = {"rows": drop.rows, "rows_before": drop.rows_before, "change": drop.rows - drop.rows_before}
    message = f"{format_count(drop.rows, 'enrollment')}, {drop.rows - drop.rows_before:+,} since {drop.day_before}"
    if not drop.is_comparable:
        message = f"{message}; fewer than {MIN_COMPARABLE_ROWS} are not compared."
        return Finding(passed=True, message=message, figures=figures)
    gone, passing, limit = map(format_percent, (drop.share, MAX_ROW_DROP, subject.options.max_drop))
    message += f": {gone} are gone; up to {passing} pass, and more than {limit} are refused, as is a drop to none."
    max_share = min(MAX_ROW_DROP, subject.options.max_drop)
    return Finding(drop.share <= max_share, message, figures | {"share_gone": round(drop.share, 4)})


def pulled_in_time(subject: Subject) -> Finding:
    """The snapshot was pulled within six hours after the day's end."""
    pulled_at = datetime.fromisoformat(subject.metadata["pulled_at"])
    lateness = pulled_at - subject.calendar.ends_at(subject.partition.day)
    hours = round(lateness / timedelta(hours=1), 1)
    message = f"It was pulled {hours:.1f} hours after the end of {subject.partition.day}"
    if lateness > MAX_LATENESS:
        message += ": what learners did since then is in it, and enrollments that were removed since then are not"
    return Finding(lateness <= MAX_LATENESS, f"{message}.", {"hours": hours})


def few_are_told_by_others(subject: Subject) -> Finding:
    """At most a tenth of the enrollments come only from rosters, and carried ones were fetched within their rotation."""
    subject.compute_once(_summarize)
    sources = {row["source"]: row for row in subject.query("sources.sql")}
    rows = {name: int(source["enrollments"]) for name, source in sources.items()}
    total = sum(rows.values())
    if not total:
        return Finding(passed=True, message="There is no enrollment.", figures={"carried": 0, "roster": 0})
    carried, roster = rows.get("carried", 0), rows.get("roster", 0)
    pulled_at = datetime.fromisoformat(subject.metadata["pulled_at"])
    oldest = min(source["oldest_fetch"] for source in sources.values())
    age_days = (pulled_at - oldest) / timedelta(days=1)
    rotation_days = subject.options.rotation_days
    is_stale = bool(carried and rotation_days and age_days > rotation_days + 1)
    figures = {
        "carried": carried,
        "roster": roster,
        "share_carried": round(carried / total, 4),
        "share_roster": round(roster / total, 4),
        "oldest_days": round(age_days, 1),
    }
    message = (
        f"{format_percent(carried / total)} of {total:,} enrollments are carried over, {format_percent(roster / total)} come "
        f"only from rosters; the oldest response is {age_days:.1f} days old"
    )
    if is_stale:
        message += f", and each should be fetched within {rotation_days} days: give the account more calls"
    return Finding(roster <= MAX_ROSTER_SHARE * total and not is_stale, f"{message}.", figures)


def has_rows_of_others(subject: Subject) -> bool:
    """Return whether enrollments were carried over or come only from a roster; also of a file that does not say it."""
    return any(subject.metadata.get(name) != "0" for name in ("carried", "roster"))


def there_is_room(subject: Subject) -> Finding:
    """The disk has free space for seven pulls like this one; without space for one pull, no request is sent."""
    found = measure_free_space(subject.data, subject.account_day)
    is_enough = found.free >= MIN_PULLS_OF_SPACE * found.needed
    message = f"The disk has {format_bytes(found.free)} free, and a pull like this one needs about {format_bytes(found.needed)}"
    figures = {"bytes_free": found.free, "bytes_needed": found.needed}
    return Finding(is_enough, f"{message}{'' if is_enough else ': free some space'}.", figures)


_UNIFIED = (UNIFIED_ENROLLMENTS,)

PULL_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, (UNIFIED_ENROLLMENTS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES), is_blocking=True),
    Check(key_is_unique, (UNIFIED_ENROLLMENTS, LEARNERS, COURSES), is_blocking=True),
    Check(served_is_stored, _UNIFIED),
    Check(agrees_with_raw, _UNIFIED),
    Check(is_complete, _UNIFIED, is_error=False),
    Check(row_drop, _UNIFIED, is_error=False),
    Check(statuses_are_known, _UNIFIED, is_error=False),
    Check(roles_are_known, _UNIFIED, is_error=False),
    Check(few_are_told_by_others, _UNIFIED, is_error=False, applies=has_rows_of_others),
    Check(pulled_in_time, _UNIFIED, is_error=False),
    Check(there_is_room, _UNIFIED, is_error=False),
    Check(few_are_rejected, (REJECTED_ENROLLMENTS,), is_error=False),
)
"""The checks of the pulled tables."""
