"""Real enrollments: the figures are those of a recomputation from OULAD's CSVs, and those of its README."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_rows, compute_tables, enrollments_file
from lms_pipeline_tests.support.oulad_expected import TEN_DAYS, Figures, compute_figures
from lms_pipeline_tests.support.oulad_files import open_assessments, open_presentations
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING
from lms_pipeline_tests.support.oulad_states import MODULES, build_assessments, build_presentations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lms_pipeline_tests.support.oulad_files import Write

pytestmark = pytest.mark.skipif(not OULAD.is_dir(), reason=OULAD_MISSING)

AT_THE_END = date(2015, 12, 31)


@pytest.fixture(scope="module")
def write_presentations() -> Iterator[Write]:
    with open_presentations() as write:
        yield write


@pytest.fixture(scope="module")
def write_assessments() -> Iterator[Write]:
    with open_assessments() as write:
        yield write


def check_row(row: dict[str, Any], figures: Figures) -> None:
    assert {name: row[name] for name in figures} == {
        name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in figures.items()
    }


@pytest.mark.parametrize("day", TEN_DAYS, ids=str)
@pytest.mark.parametrize(
    ("fixture", "build"), [("write_presentations", build_presentations), ("write_assessments", build_assessments)]
)
def test_modules_and_courses_have_the_figures_of_the_csvs(
    fixture: str, build: Any, day: date, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write: Write = request.getfixturevalue(fixture)
    expected = compute_figures(build(OULAD, day), day)
    courses: dict[str, dict[str, Any]] = {}
    for module in MODULES:
        file = enrollments_file(write(module, day, tmp_path / "data.parquet"), day)
        [account], rows = compute_tables((ACCOUNT_COMPLETION, COURSE_COMPLETION), file)
        check_row(account, expected.accounts[module])
        courses |= {row["course_id"]: row for row in rows}
    assert courses.keys() == expected.courses.keys()
    for course, figures in expected.courses.items():
        check_row(courses[course], figures)


@pytest.mark.parametrize(("module", "on_time", "due"), [("AAA", 2_334, 3_740), ("FFF", 49_114, 93_144)])
def test_submissions_on_time_are_those_of_the_readme(
    module: str, on_time: int, due: int, write_assessments: Write, tmp_path: Path
) -> None:
    file = enrollments_file(write_assessments(module, AT_THE_END, tmp_path / "data.parquet"), AT_THE_END)
    [whole] = compute_rows(ACCOUNT_COMPLETION, file)
    assert (whole["on_time_rate_num"], whole["on_time_rate_den"]) == (on_time, due)
    assert whole["on_time_rate"] == on_time / due
    assert whole["n_all"] == whole["n_required"] == due
    assert whole["n_due_open"] == whole["n_overdue"] == whole["status_assigned"]
