"""Which roles the metrics leave out by default, and how roles are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write

if TYPE_CHECKING:
    from pathlib import Path


def count_roles(path: Path, *roles: str, **options: Any) -> tuple[int, int, int]:
    """Return how many enrollments with these roles count, are left out, and have a role that is not known."""
    rows = [{"user_id": f"u{number}", "course_id": "c1", "role": role} for number, role in enumerate(roles)]
    file = enrollments_file(write(path / "data.parquet", [{"status": "enrolled", **row} for row in rows]), **options)
    [row] = compute_rows(ACCOUNT_COMPLETION, file)
    return row["n_all"], row["left_out_by_role"], row["rows_unfamiliar_role"]


@pytest.mark.parametrize(
    "role",
    [
        *("instructor", "Instructor", " INSTRUCTOR ", "teacher", "trainer", "admin", "Administrator", "observer"),
        # TalentLMS
        *("SuperAdmin", "Super admin", "Admin-Type", "Trainer-Type", "Course creator"),
        # Moodle
        *("manager", "coursecreator", "course_creator", "editingteacher", "Non-editing teacher", "guest"),
        # Canvas
        *("TeacherEnrollment", "TaEnrollment", "DesignerEnrollment", "ObserverEnrollment", "StudentViewEnrollment"),
        *("ta", "designer", "student_view", "Test Student", "Account Admin"),
        # Docebo
        *("tutor", "ghost"),
    ],
)
def test_roles_that_do_not_learn_are_left_out_by_default(role: str, tmp_path: Path) -> None:
    assert count_roles(tmp_path, role) == (0, 1, 0)


@pytest.mark.parametrize(
    "role", ["learner", "Student", " trainee ", "participant", "user", "Learner-Type", "StudentEnrollment"]
)
def test_roles_that_learn_stay_in(role: str, tmp_path: Path) -> None:
    assert count_roles(tmp_path, role) == (1, 0, 0)


@pytest.mark.parametrize("role", ["mentor", "instructors", "co-instructor", "student teacher"])
def test_a_role_in_neither_list_stays_in_and_is_reported(role: str, tmp_path: Path) -> None:
    assert count_roles(tmp_path, role) == (1, 0, 1)


@pytest.mark.parametrize(
    "served", ["Lead Mentor", "leadmentor", "LEAD  MENTOR", "\tlead\u00a0mentor\n", "lead\x0bmentor\x1f"]
)
@pytest.mark.parametrize("excluded", ["lead mentor", " LeadMentor "])
def test_case_and_blanks_do_not_matter(served: str, excluded: str, tmp_path: Path) -> None:
    assert count_roles(tmp_path, served, excluded_roles=(excluded,)) == (0, 1, 0)


def test_other_roles_replace_the_default_ones(tmp_path: Path) -> None:
    assert count_roles(tmp_path, "mentor", "instructor", "learner", excluded_roles=("mentor",)) == (2, 1, 1)


def test_a_capital_i_with_a_dot_is_an_i(tmp_path: Path) -> None:
    assert count_roles(tmp_path, "EĞİTMEN", "eğitmen", excluded_roles=("Eğİtmen",)) == (0, 2, 0)


def test_a_role_that_learns_can_be_left_out(tmp_path: Path) -> None:
    assert count_roles(tmp_path, "participant", "learner", excluded_roles=("participant",)) == (1, 1, 0)
