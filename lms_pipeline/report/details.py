"""What the report reads from the detail tables of all accounts at once: cohorts, and who needs attention.

Belongs here: queries over many files in one session. Not here: the rows of single accounts (`reading.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reading import naming_damaged_file
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.report.small_groups import ReasonCount, Row
from lms_pipeline.report.words import REASON_WORDS
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.over_time import COHORT_COMPLETION
from lms_pipeline.tables.schema import Table

MAX_NAMES = 500
"""Enrollments that are listed by name, the strongest reasons first."""
MAX_ATTENTION_COURSES = 50
"""Courses in the table of those who need attention, those with most first."""


@dataclass(frozen=True)
class Found:
    """The first rows of what was found, and how many rows there are."""

    rows: Sequence[Row] = ()
    count: int = 0


def read_cohorts(data: DataDir, account_ids: Iterable[str], day: date) -> list[Row]:
    """Return the cohorts of accounts added up: a row for each cohort and month since.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    return _query(_list_files(data, COHORT_COMPLETION, account_ids, day), "cohorts.sql")


def read_reasons(
    data: DataDir, course_ids: Mapping[str, Collection[str]], day: date
) -> Mapping[str, Sequence[ReasonCount]]:
    """Return how many enrollments need attention, by account and reason.

    Args:
        data: the data directory.
        course_ids: the ids of the shown courses by account; others do not count.
        day: the day.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    pairs = [(account_id, course_id) for account_id, ids in course_ids.items() for course_id in ids]
    rows = _query(
        _list_files(data, ATTENTION, course_ids, day),
        "attention.sql",
        accounts=[account_id for account_id, _ in pairs],
        courses=[course_id for _, course_id in pairs],
    )
    by_account: dict[str, list[ReasonCount]] = defaultdict(list)
    for row in rows:
        by_account[row["account_id"]].append(ReasonCount(row["reason"], row["enrollments"], row["learners"]))
    return by_account


def read_attention_courses(data: DataDir, account_ids: Iterable[str], day: date) -> Found:
    """Return the courses where most enrollments need attention, `MAX_ATTENTION_COURSES` at most; nothing is withheld."""
    files = _list_files(data, ATTENTION, account_ids, day)
    rows = _query(files, "attention_courses.sql", limit=MAX_ATTENTION_COURSES)
    return Found(rows, rows[0]["courses"] if rows else 0)


def read_attention_names(data: DataDir, account_ids: Iterable[str], day: date) -> Found:
    """Return the enrollments that need attention with the names of their learners, `MAX_NAMES` at most."""
    files = _list_files(data, ATTENTION, account_ids, day)
    rows = _query(files, "attention_names.sql", reasons=list(REASON_WORDS), limit=MAX_NAMES)
    return Found(rows, rows[0]["enrollments"] if rows else 0)


def _list_files(data: DataDir, table: Table, account_ids: Iterable[str], day: date) -> list[Path]:
    """Return the files of a table that exist: an older version made no such table."""
    files = [data.file(table, Partition(account_id, day)) for account_id in account_ids]
    return [path for path in files if path.exists()]


def _query(files: Sequence[Path], name: str, **parameters: object) -> list[Row]:
    """Return the rows of a query over files that `reading.check_details` found whole; none if there are none.

    Raises:
        LakeError: a file is damaged.
    """
    if not files:
        return []
    bound: dict[str, Any] = {"paths": list(map(str, files)), **parameters}
    with naming_damaged_file(bound["paths"]), scratch_folder("report") as spill, duckdb_session(spill) as connection:
        found = connection.execute(load_sql("lms_pipeline.report", name), bound)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
