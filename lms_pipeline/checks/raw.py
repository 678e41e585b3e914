"""The check that raw and unified enrollments of one account and day agree.

Belongs here: which raw record belongs to which enrollment, and what their statuses say. Not here: the other checks of the
pulled tables (`snapshot.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, Subject
from lms_pipeline.lake.engine import load_sql
from lms_pipeline.tables.pulled import RAW_ENROLLMENT_ID_NAMES, RAW_ENROLLMENTS
from lms_pipeline.wording import choose_form, format_count

if TYPE_CHECKING:
    from pathlib import Path

STATUS_PATHS = ("$.completion_status", "$.completionStatus", "$.status", "$.state")
"""JSON paths under which LMSs keep the status of an enrollment; TalentLMS uses the first."""
MAX_PARSED_BYTES = 4 * 2**20
"""Payloads that DuckDB parses together: it takes up to 40 bytes of memory for each byte of JSON."""
COMPLETED_STATUSES = ("completed", "complete", "passed")
OPEN_STATUSES = (
    *("incomplete", "not attempted", "not started", "enrolled", "assigned"),
    *("in progress", "started", "overdue"),
)
DISAGREEMENTS = {
    "completed_in_raw_alone": "completed only in raw",
    "completed_in_unified_alone": "completed only in unified",
    "raw_alone": "only in raw",
    "unified_alone": "only in unified",
}
"""The ways in which raw and unified differ, by figure, in words."""


def agrees_with_raw(subject: Subject) -> Finding:
    """The same enrollments are in raw and unified, and none is completed in one and open in the other."""
    from lms_pipeline.lake.files import count_rows, read_metadata

    raw = subject.path(RAW_ENROLLMENTS)
    has_raw = subject.has_same_metadata(RAW_ENROLLMENTS, "run_id")
    metadata = read_metadata(raw) if has_raw else {}
    gaps = metadata.get("incomplete_because")
    if not has_raw or not (count_rows(raw) or (metadata.get("raw_source") == "raw" and gaps is None)):
        message = "There are no raw enrollments of this day to compare with."
        return Finding(passed=True, message=f"{message} {gaps}" if gaps else message)
    _load_raw_statuses(subject, raw)
    judged = subject.query(
        "raw_against_unified.sql",
        completed=list(COMPLETED_STATUSES),
        open=list(OPEN_STATUSES),
        max_rows=MAX_EXAMPLE_ROWS,
    )
    pairs = {row["judgement"]: int(row["pairs"]) for row in judged}
    unplaced = pairs.pop("unplaced")
    figures = {name: pairs.get(name, 0) for name in ("agrees", "not_compared", *DISAGREEMENTS)}
    without_raw = next((int(row["enrollments"]) for row in judged if row["judgement"] == "unified_alone"), 0)
    wrong = _find_wrong(figures, subject.metadata, unplaced=unplaced, without_raw=without_raw)
    compared = sum(pairs.values())
    agree = choose_form(figures["agrees"], "agrees", "agree")
    parts = [
        f"{format_count(compared, 'pair')} of learner and course: {figures['agrees']:,} {agree} on completion",
        f"{figures['not_compared']:,} can't be compared",
    ]
    if unplaced:
        figures["raw_unplaced"] = unplaced
        parts.append(
            f"{format_count(unplaced, 'raw record')} {choose_form(unplaced, 'names', 'name')} no learner and course"
        )
    if gaps is not None:
        wrong.pop("unified_alone", None)  # they have no raw record because it was not fetched
    parts += [f"{count:,} {choose_form(count, 'is', 'are')} {DISAGREEMENTS[name]}" for name, count in wrong.items()]
    rows = [row | {"judgement": DISAGREEMENTS[row["judgement"]]} for row in judged if row["judgement"] in wrong]
    examples = [{name: value for name, value in row.items() if name != "enrollments"} for row in rows]
    message = f"{', '.join(parts)}.{f' {gaps}' if gaps else ''}"
    return Finding(not wrong, message, figures, examples[:MAX_EXAMPLE_ROWS])


def _find_wrong(
    figures: Mapping[str, int], metadata: Mapping[str, str], *, unplaced: int, without_raw: int
) -> dict[str, int]:
    """Return the disagreements that count, by name.

    A raw record without learner and course is that of an enrollment that is only in unified, as far as there are any:
    then only their numbers are compared. `without_raw` is the number of those enrollments.
    """
    wrong = {name: figures[name] for name in DISAGREEMENTS if figures[name]}
    rejected = int(metadata.get("rejected", 0))  # a rejected record is in raw too
    if unplaced:
        names = ("duplicates_identical", "duplicates_conflicting")
        rejected += sum(int(metadata.get(name, 0)) for name in names)  # and so is a duplicate
        wrong["raw_alone"] = figures["raw_alone"] + max(0, unplaced - without_raw)
        wrong["unified_alone"] = max(0, without_raw - unplaced)
    if wrong.get("raw_alone", 0) <= rejected:
        wrong.pop("raw_alone", None)
    return {name: count for name, count in wrong.items() if count}


def _load_raw_statuses(subject: Subject, raw: Path) -> None:
    """Fill the table `raw_statuses` from the file of raw enrollments, in slices; a larger payload has no status."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lms_pipeline.lake.slices import iter_slices

    columns = ["user_id", "course_id", "source", "payload"]
    sql = load_sql(__package__, "sql/raw_statuses.sql")
    paths = {"status_paths": list(STATUS_PATHS), "id_paths": [f"$.{name}" for name in RAW_ENROLLMENT_ID_NAMES]}
    subject.connection.execute(
        "CREATE OR REPLACE TEMP TABLE raw_statuses "
        "(user_id TEXT, course_id TEXT, source TEXT, raw_status TEXT, enrollment_id TEXT)"
    )
    with pq.ParquetFile(raw) as file:
        for group in range(file.num_row_groups):
            for rows in iter_slices(file.read_row_group(group, columns), MAX_PARSED_BYTES):
                is_large = rows.nbytes > MAX_PARSED_BYTES
                part = rows.set_column(3, "payload", pa.nulls(rows.num_rows, pa.string())) if is_large else rows
                subject.connection.register("raw_part", part)
                subject.connection.execute(sql, paths)
