"""The check that raw and unified enrollments of one account and day agree.

Belongs here: which raw record belongs to which enrollment, and what their statuses say. Not here: the other checks of the
pulled tables (`snapshot.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, Subject
from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.tables.pulled import RAW_ENROLLMENT_ID_NAMES, RAW_ENROLLMENTS

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow.parquet as pq

STATUS_PATHS = ("$.completion_status", "$.completionStatus", "$.status", "$.state")
"""JSON paths under which LMSs keep the status of an enrollment; TalentLMS uses the first."""
MAX_PARSED_BYTES = 4 * 2**20
"""Payloads that DuckDB parses together: it takes up to 40 bytes of memory for each byte of JSON."""
VECTOR_ROWS = 2_048
"""Rows of a file that DuckDB parses together."""
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
    has_raw = subject.has_same_metadata(RAW_ENROLLMENTS, "run_id")
    raw = subject.open_table(RAW_ENROLLMENTS)
    metadata = raw.metadata if has_raw else {}
    gaps = metadata.get("incomplete_because")
    if not has_raw or not (raw.rows or (metadata.get("raw_source") == "raw" and gaps is None)):
        message = "There are no raw enrollments of this day to compare with."
        return Finding(passed=True, message=f"{message} {gaps}" if gaps else message)
    judged, unplaced = _judge_pairs(subject, raw)
    pairs = {row["judgement"]: int(row["pairs"]) for row in judged}
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
    message = f"{', '.join(parts)}.{f' {gaps}' if gaps else ''}"
    return Finding(not wrong, message, figures, _find_examples(subject, wrong, pairs))


def _find_examples(subject: Subject, wrong: Iterable[str], pairs: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the first pairs that disagree, each with the number of pairs that disagree in its way."""
    found = [name for name in wrong if name in pairs]
    rows = subject.query("disagreements.sql", judgements=found, max_rows=MAX_EXAMPLE_ROWS) if found else []
    return [row | {"judgement": DISAGREEMENTS[row["judgement"]], "pairs": pairs[row["judgement"]]} for row in rows]


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


def _judge_pairs(subject: Subject, raw: Subject) -> tuple[list[dict[str, Any]], int]:
    """Return the pairs of learner and course by judgement, and the number of raw records that belong to none.

    DuckDB parses the payloads of the file while it pairs them. If some are large, or in Truto's raw format, they are loaded
    in slices first. The view `paired` is over the pairs afterwards.
    """
    subject.create_view()
    _set_variables(
        subject,
        status_paths=list(STATUS_PATHS),
        id_paths=[f"$.{name}" for name in RAW_ENROLLMENT_ID_NAMES],
        completed_statuses=list(COMPLETED_STATUSES),
        open_statuses=list(OPEN_STATUSES),
    )
    subject.execute("judge.sql")
    if not _may_have_raw_format(raw.footer):
        subject.connection.read_parquet(str(raw.file)).create_view("raw_part", replace=True)
        _set_variables(subject, max_bytes=MAX_PARSED_BYTES // VECTOR_ROWS)
        subject.execute(
            "parsed.sql", "placed.sql", "paired_in_order.sql" if _is_in_order(subject, raw) else "paired.sql"
        )
        judged = subject.query("raw_against_unified.sql")
        if not any(row["is_large"] for row in judged):
            return judged, 0
    _load_raw_statuses(subject, raw.file)
    subject.execute("placed_by_id.sql", "paired.sql")
    return subject.query("raw_against_unified.sql"), int(subject.query("unplaced.sql")[0]["records"])


def _set_variables(subject: Subject, **values: object) -> None:
    """Set variables of the SQL, which reads each as `getvariable('<name>')`."""
    for name, value in values.items():
        subject.connection.execute(f"SET VARIABLE {name} = $value", {"value": value})


def _may_have_raw_format(footer: pq.FileMetaData) -> bool:
    """Return whether a raw record may be in Truto's raw format, by the least and the largest source of each row group."""
    index = footer.schema.names.index("source")
    groups = (footer.row_group(number).column(index).statistics for number in range(footer.num_row_groups))
    return any(found is None or not found.has_min_max or found.min <= "raw" <= found.max for found in groups)


def _is_in_order(subject: Subject, raw: Subject) -> bool:
    """Return whether raw and unified have the same pairs of learner and course in the same order, and none twice."""
    if raw.rows != subject.rows or subject.query("other_order.sql")[0]["differing"]:
        return False
    faults = subject.find_key_faults(("user_id", "course_id"))
    return not faults.nulls and not faults.repeated


def _load_raw_statuses(subject: Subject, raw: Path) -> None:
    """Fill the table `raw_statuses` from the file of raw enrollments, in slices; a larger payload has no status."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lms_pipeline.lake.slices import iter_slices

    columns = ["user_id", "course_id", "source", "payload"]
    _set_variables(subject, max_bytes=MAX_PARSED_BYTES)
    subject.connection.execute(
        "CREATE OR REPLACE TEMP TABLE raw_statuses "
        "(user_id TEXT, course_id TEXT, source TEXT, raw_status TEXT, enrollment_id TEXT, is_large BOOLEAN)"
    )
    with pq.ParquetFile(raw) as file:
        for group in range(file.num_row_groups):
            for rows in iter_slices(file.read_row_group(group, columns), MAX_PARSED_BYTES):
                is_large = rows.nbytes > MAX_PARSED_BYTES
                part = rows.set_column(3, "payload", pa.nulls(rows.num_rows, pa.string())) if is_large else rows
                subject.connection.register("raw_part", part)
                subject.execute("parsed.sql", "raw_statuses.sql")
