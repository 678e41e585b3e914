"""OULAD's enrollments as Parquet files of one module and day, in both mappings of the data's README.

Belongs here: the input of the metrics, without a pull. Not here: the expected figures (`oulad_expected.py`, which shares
no code with this file).
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.oulad_records import OULAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Write = Callable[[str, date, Path], Path]

VERSIONS = """
CREATE TABLE versions AS
SELECT
    account, valid_from, raw.role, user.id AS user_id, course.id AS course_id, course.title AS course_title,
    enrollment.* EXCLUDE (user, course) RENAME (id AS enrollment_id)
FROM read_ndjson($records)
CROSS JOIN LATERAL (SELECT enrollment.user, enrollment.course)
ORDER BY account, enrollment_id, valid_from
"""
PRESENTATIONS = """
FROM unified_columns
UNION ALL BY NAME
SELECT * EXCLUDE (account, valid_from), 'unified' AS source, $fetched_at::TIMESTAMPTZ AS fetched_at
FROM versions
WHERE starts_with(account, $module) AND valid_from < $as_of
QUALIFY row_number() OVER (PARTITION BY enrollment_id ORDER BY valid_from DESC) = 1
"""
SUBMISSIONS = """
CREATE TABLE submissions AS
SELECT
    code_module AS account,
    concat_ws('/', id_student, id_assessment) AS enrollment_id,
    id_student AS user_id,
    concat_ws('/', code_module, code_presentation, id_assessment) AS course_id,
    timezone('UTC', (starts + date_registration::INT)::TIMESTAMP) AS assigned_at,
    timezone('UTC', (starts + date_submitted::INT)::TIMESTAMP) AS completed_at,
    timezone('UTC', (starts + date::INT)::TIMESTAMP) AS due_at,
    coalesce(assigned_at, timezone('UTC', (starts - 365)::TIMESTAMP)) AS exists_from
FROM read_csv($registrations, all_varchar = true) AS registrations
JOIN read_csv($assessments, all_varchar = true) AS assessments USING (code_module, code_presentation)
LEFT JOIN read_csv($submissions, all_varchar = true) AS submissions USING (id_assessment, id_student)
CROSS JOIN LATERAL (
    SELECT make_date(code_presentation[:4]::INT, if(code_presentation[5:] = 'B', 2, 10), 1) AS starts
)
WHERE date IS NOT NULL AND assessment_type <> 'Exam'
ORDER BY account
"""
ASSESSMENTS = """
FROM unified_columns
UNION ALL BY NAME
SELECT
    * EXCLUDE (account, exists_from) REPLACE (if(completed_at < $as_of, completed_at, NULL) AS completed_at),
    if(coalesce(submissions.completed_at < $as_of, false), 'completed', 'assigned') AS status,
    true AS is_mandatory,
    'unified' AS source,
    $fetched_at::TIMESTAMPTZ AS fetched_at
FROM submissions
WHERE starts_with(account, $module) AND exists_from < $as_of
"""


@contextmanager
def open_presentations(records: Path) -> Iterator[Write]:
    """Yield a function that writes the first mapping of a module at the end of a day, from the records of the sandbox.

    Module `""` is all of them.
    """
    with _open_table(VERSIONS, {"records": str(records)}, PRESENTATIONS) as write:
        yield write


@contextmanager
def open_assessments() -> Iterator[Write]:
    """Yield a function that writes the second mapping: an enrollment for each learner and assessment with a due day."""
    names = {
        "registrations": "studentRegistration", "assessments": "assessments", "submissions": "studentAssessment"
    }  # fmt: skip
    files = {name: str(OULAD / f"{file}.csv.gz") for name, file in names.items()}
    with _open_table(SUBMISSIONS, files, ASSESSMENTS) as write:
        yield write


@contextmanager
def _open_table(create: str, files: dict[str, str], select: str) -> Iterator[Write]:
    with duckdb_session() as connection:
        connection.from_arrow(arrow_schema(UNIFIED_ENROLLMENTS).empty_table()).create("unified_columns")
        connection.execute(create, files)

        def write(module: str, day: date, path: Path) -> Path:
            as_of = datetime.combine(day + timedelta(days=1), time.min, UTC)
            params = {"module": module, "as_of": as_of, "fetched_at": as_of + timedelta(hours=6)}
            connection.sql(select, params=params).write_parquet(str(path))
            return path

        yield write
