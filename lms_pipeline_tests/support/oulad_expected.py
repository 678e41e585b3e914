"""The expected figures on OULAD, recomputed from its CSVs.

Belongs here: the state of every enrollment at the end of a day, in SQL of its own. It shares no code with the package
or with `oulad_records.py`, so that an error in one does not hide an error in the other.

Events of a day are dated at its 00:00 UTC. The end of the day includes them and excludes those of the next day. A
server that responds as of a later instant, even just after midnight, serves the state of the next day.

These rules for metrics do not apply: no role is excluded; later enrollments are not served yet; nobody is enrolled in
a course twice, so nothing is superseded; there are no due dates, so everyone who withdrew without a start
`dropped_early`; only `passed` completes and has a completed_at. An open enrollment is started by a submission, a
withdrawn one by its progress.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

DAYS = (
    date(2013, 1, 15),  # before the first start: registrations for 2013B, and those without a date for 2013J
    date(2013, 5, 15),  # in the middle of 2013B
    date(2013, 9, 29),  # the day on which 2013B ends
    date(2014, 2, 1),  # the day on which 2014B starts, in the middle of 2013J
    date(2014, 11, 20),  # in the middle of 2014J
    date(2015, 6, 27),  # the last presentations end: all enrollments exist and have ended
)
"""Days to compare. The last one is `find_last_day`."""

Figures = dict[str, float | None]
"""Figures by column name."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The figures of one day."""

    accounts: dict[str, Figures]
    """By module: all seven, even without enrollments."""
    courses: dict[str, Figures]
    """By module and presentation: those with an enrollment, with `score_mean`."""


def compute_expected(oulad: Path, day: date) -> Expected:
    """Return the figures at the end of `day`, UTC."""
    expected = Expected({}, {})
    with _load_tables(oulad) as connection:
        connection.execute(STATES, {"day": day})
        result = connection.execute(FIGURES)
        names = [column[0] for column in result.description]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    for row in rows:
        module, presentation = row.pop("code_module"), row.pop("code_presentation")
        if presentation is None:
            del row["score_mean"]
            expected.accounts[module] = row
        elif row["n_all"]:
            expected.courses[f"{module}/{presentation}"] = row
    return expected


def find_last_day(oulad: Path) -> date:
    """Return the day on which the last presentations end."""
    with _load_tables(oulad) as connection:
        [(last,)] = connection.execute("SELECT max(ends) FROM presentations").fetchall()
    assert isinstance(last, date)
    return last


def _load_tables(oulad: Path) -> duckdb.DuckDBPyConnection:
    """Return a database with a table for each file, and one with the days of the presentations."""
    connection = duckdb.connect()
    for file in sorted(oulad.glob("*.csv.gz")):
        connection.read_csv(str(file)).create(file.name.removesuffix(".csv.gz"))
    connection.execute(PRESENTATIONS)
    return connection


PRESENTATIONS = """
CREATE TABLE presentations AS
SELECT
    code_module,
    code_presentation,
    module_presentation_length AS length,
    make_date(code_presentation[:4]::INT, if(code_presentation[5:] = 'B', 2, 10), 1) AS starts,
    starts + length::INT AS ends,
FROM courses
"""

STATES = """
CREATE TABLE states AS
WITH clocks AS (
    SELECT *, date_diff('day', starts, $day) AS today FROM presentations
),
weights AS (
    SELECT code_module, code_presentation, sum(weight) AS total FROM assessments GROUP BY ALL
),
work AS (
    SELECT code_module, code_presentation, id_student, sum(weight) AS weight, avg(score) AS score
    FROM studentAssessment
    JOIN assessments USING (id_assessment)
    JOIN clocks USING (code_module, code_presentation)
    WHERE date_submitted <= today
    GROUP BY ALL
)
SELECT
    code_module,
    code_presentation,
    id_student,
    CASE
        WHEN final_result = 'Withdrawn' AND today >= ifnull(date_unregistration, length) THEN 'withdrawn'
        WHEN final_result IN ('Pass', 'Distinction') AND today >= length THEN 'passed'
        WHEN final_result = 'Fail' AND today >= length THEN 'failed'
        WHEN work.id_student IS NOT NULL THEN 'in_progress'
        ELSE 'enrolled'
    END AS status,
    status IN ('enrolled', 'in_progress') AS is_open,
    ifnull(work.weight, 0) / total * 100 AS progress,
    status IN ('in_progress', 'passed', 'failed') OR progress > 0 AS is_started,
    work.score AS score,
FROM studentRegistration
JOIN studentInfo USING (code_module, code_presentation, id_student)
JOIN clocks USING (code_module, code_presentation)
JOIN weights USING (code_module, code_presentation)
LEFT JOIN work USING (code_module, code_presentation, id_student)
WHERE today >= ifnull(date_registration, -365)
"""

FIGURES = """
SELECT
    code_module,
    code_presentation,
    count(id_student) AS n_all,
    count(DISTINCT id_student) AS learners,
    count(*) FILTER (status = 'enrolled') AS status_enrolled,
    count(*) FILTER (status = 'in_progress') AS status_in_progress,
    count(*) FILTER (status = 'passed') AS status_passed,
    count(*) FILTER (status = 'failed') AS status_failed,
    count(*) FILTER (status = 'withdrawn') AS status_withdrawn,
    count(*) FILTER (status = 'passed') AS n_completed,
    count(*) FILTER (is_started) AS n_started,
    count(*) FILTER (is_open) AS n_open,
    count(*) FILTER (status = 'withdrawn' AND NOT is_started) AS n_dropped_early,
    n_completed / nullif(n_all, 0) AS completion_rate,
    n_completed / nullif(n_all - n_dropped_early, 0) AS completion_rate_eligible,
    n_completed / nullif(n_started, 0) AS completion_rate_started,
    avg(progress) FILTER (is_open) AS progress_mean,
    avg(score) AS score_mean,
FROM presentations
LEFT JOIN states USING (code_module, code_presentation)
GROUP BY GROUPING SETS ((code_module), (code_module, code_presentation))
ORDER BY code_module, code_presentation
"""
