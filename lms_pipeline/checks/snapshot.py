"""Whether a file is what its table says, and holds what the pull brought.

What belongs here: what `lake/audit.py` saw before it published, seen again by who comes later: a file may have been changed
by hand, restored from a backup, or written by another version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lms_pipeline.checks.base import Subject
from lms_pipeline.checks.finding import MOST_ROWS, Finding
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

SUMS = ("served", "carried", "roster", "rejected", "duplicates_identical", "duplicates_conflicting")


def schema(subject: Subject) -> Finding:
    """The columns are the table's; those of an older file are among them."""
    import pyarrow.parquet as pq

    from lms_pipeline.lake.files import count_rows, damage

    version = int(subject.told.get("schema_version", "0"))
    with damage(subject.file):
        found = {field.name: field for field in pq.read_schema(subject.file)}
    expected = {field.name: field for field in arrow_schema(subject.table)}
    wrong = list(_differing(found, expected, is_older=version < SCHEMA_VERSION))
    figures = {"columns": len(found), "schema_version": version, "rows": count_rows(subject.file)}
    if version > SCHEMA_VERSION:
        told = f"The file is of schema {version}, and this version knows up to {SCHEMA_VERSION}: upgrade."
        return Finding(passed=False, told=told, figures=figures)
    told = (
        f"{len(wrong)} columns are not as described."
        if wrong
        else f"All {len(found)} columns are as described."
    )
    return Finding(not wrong, told, figures, wrong[:MOST_ROWS])


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
    from lms_pipeline.lake.publishing import key_faults

    key = tuple(subject.told["key"].split(",")) if "key" in subject.told else subject.table.key
    if not key:
        return Finding(passed=True, told="The file does not tell its key: it is of an older version.")
    faults = key_faults(subject.file, key)
    missing = sum(faults.nulls.values())
    figures: dict[str, str | int | float] = {
        "key": ", ".join(key),
        "rows_without_key": missing,
        "rows_repeated": faults.repeated,
    }
    if not missing and not faults.repeated:
        return Finding(passed=True, told=f"Every row has its own {' and '.join(key)}.", figures=figures)
    rows = subject.ask("repeated_keys.sql", key=list(key), most=MOST_ROWS)
    told = f"{missing:,} rows have no key, and {faults.repeated:,} have that of another: pull the day again, or replay it."
    return Finding(passed=False, told=told, figures=figures, rows=rows)


def served_is_stored(subject: Subject) -> Finding:
    """Served, carried over and told by a roster: all are stored, rejected or duplicates, and nothing else is."""
    from lms_pipeline.lake.files import count_rows

    if any(name not in subject.told for name in SUMS):
        return Finding(passed=True, told="The file does not tell its sums: it is of an older version.")
    sums = {name: int(subject.told[name]) for name in SUMS}
    stored = count_rows(subject.file)
    brought = sums["served"] + sums["carried"] + sums["roster"]
    accounted = stored + sums["rejected"] + sums["duplicates_identical"] + sums["duplicates_conflicting"]
    told = (
        f"{brought:,} enrollments were brought ({sums['served']:,} served); {stored:,} are stored, {sums['rejected']:,} "
        f"were rejected, {accounted - stored - sums['rejected']:,} were duplicates"
    )
    figures = {**sums, "stored": stored, "difference": brought - accounted}
    rejected = subject.path(REJECTED_ENROLLMENTS)
    if subject.agrees_with(REJECTED_ENROLLMENTS, "run_id"):
        figures["rejected_stored"] = count_rows(rejected)
        if figures["rejected_stored"] != sums["rejected"]:
            kept = f", of which {figures['rejected_stored']:,} are in rejected_enrollments"
            return Finding(passed=False, told=f"{told}{kept}.", figures=figures)
    if brought == accounted:
        return Finding(passed=True, told=f"{told}.", figures=figures)
    return Finding(
        passed=False, told=f"{told}: {brought - accounted:+,} are not accounted for.", figures=figures
    )


def is_complete(subject: Subject) -> Finding:
    """Nothing is known to be missing, and the files of the pull are of one run."""
    others = [table for table in (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS) if subject.path(table).exists()]
    if not all(subject.agrees_with(table, "run_id") for table in others):
        told = "The files of this day are of different runs, and those that aren't of this one are not read: pull or replay it."
        return Finding(passed=False, told=told, figures={"other_files": len(others)})
    figures = {"requests": int(subject.told["requests"])}
    if subject.told.get("complete") == "true":
        return Finding(passed=True, told="Nothing is known to be missing.", figures=figures)
    told = "Something is missing that the account listed, or came twice: the metadata of the pull tell what."
    return Finding(passed=False, told=told, figures=figures)
