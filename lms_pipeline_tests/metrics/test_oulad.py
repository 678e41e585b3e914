"""Real submissions with due dates: the on-time figures are those of the README of the OULAD data."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file

OULAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "oulad"
AT_THE_END = date(2015, 12, 31)

ASSESSMENTS_AS_ENROLLMENTS = """
FROM unified_columns
UNION ALL BY NAME
SELECT
    concat_ws('/', id_student, id_assessment) AS enrollment_id,
    id_student AS user_id,
    concat_ws('/', code_module, code_presentation, id_assessment) AS course_id,
    if(date_submitted IS NULL, 'assigned', 'completed') AS status,
    true AS is_mandatory,
    timezone('UTC', (starts + date_registration::INT)::TIMESTAMP) AS assigned_at,
    timezone('UTC', (starts + date_submitted::INT)::TIMESTAMP) AS completed_at,
    timezone('UTC', (starts + date::INT)::TIMESTAMP) AS due_at,
    'unified' AS source,
    TIMESTAMPTZ '2016-01-01 06:00:00+00' AS fetched_at
FROM read_csv($registrations, all_varchar = true) AS registrations
JOIN read_csv($assessments, all_varchar = true) AS assessments USING (code_module, code_presentation)
LEFT JOIN read_csv($submissions, all_varchar = true) AS submissions USING (id_assessment, id_student)
CROSS JOIN LATERAL (
    SELECT make_date(code_presentation[:4]::INT, if(code_presentation[5:] = 'B', 2, 10), 1) AS starts
)
WHERE code_module = $module AND date IS NOT NULL AND assessment_type <> 'Exam'
"""


def write_module(module: str, path: Path) -> Path:
    """Write one enrollment for each registered learner and each assessment with a due day of a presentation."""
    with duckdb_session() as connection:
        connection.from_arrow(arrow_schema(UNIFIED_ENROLLMENTS).empty_table()).create("unified_columns")
        files = {
            "registrations": str(OULAD / "studentRegistration.csv.gz"),
            "assessments": str(OULAD / "assessments.csv.gz"),
            "submissions": str(OULAD / "studentAssessment.csv.gz"),
        }
        enrollments = connection.sql(ASSESSMENTS_AS_ENROLLMENTS, params={"module": module, **files})
        enrollments.write_parquet(str(path))
    return path


@pytest.mark.skipif(
    not OULAD.is_dir(), reason="the OULAD data are missing: ../shared/data/oulad, seen from the repository's root"
)
@pytest.mark.parametrize(("module", "on_time", "due"), [("AAA", 2_334, 3_740), ("FFF", 49_114, 93_144)])
def test_submissions_on_time_are_those_of_the_readme(module: str, on_time: int, due: int, tmp_path: Path) -> None:
    file = enrollments_file(write_module(module, tmp_path / "data.parquet"), day=AT_THE_END)
    [whole] = compute_rows(ACCOUNT_COMPLETION, file)
    assert (whole["on_time_rate_num"], whole["on_time_rate_den"]) == (on_time, due)
    assert whole["on_time_rate"] == on_time / due
    assert whole["n_all"] == whole["n_required"] == due
    assert whole["n_due_open"] == whole["n_overdue"] == whole["status_assigned"]
    courses = compute_rows(COURSE_COMPLETION, file)
    assert sum(course["on_time_rate_num"] for course in courses) == on_time
    assert sum(course["n_late"] for course in courses) == whole["n_late"]
